# Keys for the scripts that try TLS: $keys/keys.psk (alice, bob) and folders of certificates, made by
# psktool and certtool. Sourced behind lib.sh.

keys=$work/keys
mkdir -m 700 "$keys"

make_psk() {
  local user
  for user in alice bob; do psktool -u "$user" -p "$keys/keys.psk" >/dev/null 2>&1; done
  chmod 600 "$keys/keys.psk"
  # Another key for alice, and a user whom no server knows.
  mkdir -p "$keys/wrong"
  for user in alice carol; do psktool -u "$user" -p "$keys/wrong/keys.psk" >/dev/null 2>&1; done
  chmod 600 "$keys/wrong/keys.psk"
}

# make_ca FOLDER NAME
make_ca() {
  mkdir -p "$1"
  printf 'cn=%s\nca\ncert_signing_key\ncrl_signing_key\n' "$2" >"$1/template"
  certtool --generate-privkey --key-type ecdsa --outfile "$1/ca-key.pem" 2>/dev/null
  certtool --generate-self-signed --load-privkey "$1/ca-key.pem" --template "$1/template" \
    --outfile "$1/ca-cert.pem" 2>/dev/null
}

# make_certificate FOLDER server|client CA-FOLDER LINE…: certtool's template lines
make_certificate() {
  local folder=$1 stem=$2 ca=$3
  shift 3
  mkdir -p "$folder"
  printf '%s\n' "$@" signing_key "tls_www_$stem" >"$folder/template"
  certtool --generate-privkey --key-type ecdsa --outfile "$folder/$stem-key.pem" 2>/dev/null
  certtool --generate-certificate --load-privkey "$folder/$stem-key.pem" \
    --load-ca-certificate "$ca/ca-cert.pem" --load-ca-privkey "$ca/ca-key.pem" \
    --template "$folder/template" --outfile "$folder/$stem-cert.pem" 2>/dev/null
  [[ -e $folder/ca-cert.pem ]] || cp "$ca/ca-cert.pem" "$folder/"
}

# revoke FOLDER CERTIFICATE: ca-crl.pem in FOLDER, by the CA in $keys/ca
revoke() {
  printf 'expiration_days=30\ncrl_number=1\n' >"$1/template"
  certtool --generate-crl --load-ca-privkey "$keys/ca/ca-key.pem" \
    --load-ca-certificate "$keys/ca/ca-cert.pem" --load-certificate "$2" \
    --template "$1/template" --outfile "$1/ca-crl.pem" 2>/dev/null
}

# ca; server and client signed by it; lone: a client without a certificate.
make_pki() {
  make_ca "$keys/ca" 'Our CA'
  make_certificate "$keys/server" server "$keys/ca" cn=nas dns_name=nas dns_name=localhost \
    ip_address=127.0.0.1
  make_certificate "$keys/client" client "$keys/ca" cn=alice
  mkdir -p "$keys/lone"
  cp "$keys/ca/ca-cert.pem" "$keys/lone/"
}
