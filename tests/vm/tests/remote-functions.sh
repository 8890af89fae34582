# For the remote-*.sh tests, sourced: servers inside the machine, and what is done with a device of theirs.

source "$(dirname "${BASH_SOURCE[0]}")/device-functions.sh"

servers=()

# start_server COMMAND…: in the background; its words are in $SCRATCH/server.log.
start_server() {
  "$@" >>"$SCRATCH/server.log" 2>&1 &
  servers+=("$!")
}

stop_servers() {
  local server
  for server in "${servers[@]}"; do
    kill -KILL "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  done
  servers=()
}

listens_on() { [[ -n $(ss -Htln "sport = :$1") ]]; }
listens_at() { grep -qE "^[0-9a-f]+: [0-9A-F]+ [0-9]+ 00010000 .* $1\$" /proc/net/unix; }

wait_for_port() { until_true 90 listens_on "$1" || fail "nobody listens on $1: $(cat "$SCRATCH/server.log")"; }
wait_for_socket() { until_true 90 listens_at "$1" || fail "nobody listens at $1: $(cat "$SCRATCH/server.log")"; }

# keys.psk for alice
make_psk() {
  mkdir -m 700 "$SCRATCH/keys"
  psktool -u alice -p "$SCRATCH/keys/keys.psk" >/dev/null
  chmod 600 "$SCRATCH/keys/keys.psk"
}

# certificate_for FOLDER NAME TEMPLATE_LINE…: NAME-key.pem and NAME-cert.pem, signed by the authority
certificate_for() {
  local folder=$1 name=$2
  shift 2
  printf '%s\n' "$@" expiration_days=30 >"$SCRATCH/ca/$name.template"
  certtool --generate-privkey --key-type=ecdsa --outfile "$folder/$name-key.pem" 2>/dev/null
  chmod 600 "$folder/$name-key.pem"
  certtool --generate-certificate --load-privkey "$folder/$name-key.pem" --template "$SCRATCH/ca/$name.template" \
    --load-ca-privkey "$SCRATCH/ca/ca-key.pem" --load-ca-certificate "$SCRATCH/ca/ca-cert.pem" \
    --outfile "$folder/$name-cert.pem" 2>/dev/null
  cp "$SCRATCH/ca/ca-cert.pem" "$folder/"
}

# pki-server for nbdkit on localhost, pki-client for us
make_certificates() {
  mkdir -m 700 "$SCRATCH/ca" "$SCRATCH/pki-server" "$SCRATCH/pki-client"
  printf '%s\n' 'cn=nbdring test' ca cert_signing_key expiration_days=30 >"$SCRATCH/ca/ca.template"
  certtool --generate-privkey --key-type=ecdsa --outfile "$SCRATCH/ca/ca-key.pem" 2>/dev/null
  certtool --generate-self-signed --load-privkey "$SCRATCH/ca/ca-key.pem" --template "$SCRATCH/ca/ca.template" \
    --outfile "$SCRATCH/ca/ca-cert.pem" 2>/dev/null
  certificate_for "$SCRATCH/pki-server" server cn=localhost dns_name=localhost ip_address=127.0.0.1 tls_www_server \
    signing_key
  certificate_for "$SCRATCH/pki-client" client cn=alice tls_www_client signing_key
}

# use_device URI CONNECTIONS: a file system on it, verified by fio, and looked at again with the caches cold.
use_device() {
  attach -c "$2" "$1"
  mkfs.ext4 -q "$device"
  mkdir -p "$SCRATCH/mnt"
  mount "$device" "$SCRATCH/mnt"
  fio --name=files --directory="$SCRATCH/mnt" --rw=randwrite --bsrange=4k-256k --size=3M --numjobs=2 --direct=1 \
    --ioengine=libaio --iodepth=16 --fsync=64 --verify=crc32c --verify_fatal=1 --randseed=7 \
    >"$SCRATCH/fio.log" 2>&1 || fail "fio on $1: $(tail -n 30 "$SCRATCH/fio.log")"
  (cd "$SCRATCH/mnt" && find . -type f -exec sha256sum {} +) >"$SCRATCH/sums"
  umount "$SCRATCH/mnt"
  detach "$device"

  attach -r -c "$2" "$1"
  e2fsck -fn "$device" >"$SCRATCH/e2fsck.log" 2>&1 || fail "$(cat "$SCRATCH/e2fsck.log")"
  mount -o ro "$device" "$SCRATCH/mnt"
  (cd "$SCRATCH/mnt" && sha256sum --check --quiet ../sums) || fail "$1 gives back other bytes"
  umount "$SCRATCH/mnt"
  detach "$device"
  echo "ok: $1, $2 connections"
}
