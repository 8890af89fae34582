#!/bin/bash
# Who may talk to whom: server's TLS off, on, required, by client's off, allow, require, by
# pre-shared key and certificates, each cell tried with `nbdring info`. Then everything that can be
# wrong with keys and servers: a line of its own each, exit code 6. Prints both tables.

source "$(dirname "$0")/lib.sh"
requires psktool certtool nbdkit qemu-nbd socat
source "$(dirname "$0")/lib-tls.sh"
make_psk
make_pki
server=''
servers=0

end_server() {
  [[ -z $server ]] || end_process "$server"
  server=''
}
at_exit+=(end_server)

# The next server's socket: a fresh one, for the kernel shows that of a killed process a while longer.
new_socket() { socket=$work/server-$((++servers)).sock; }

# start COMMAND…: a server in the foreground on $socket.
start() {
  end_server
  "$@" >"$work/server.log" 2>&1 &
  server=$!
  wait_until 10 is_listening "$socket" || fail "$*: $(cat "$work/server.log")"
}

# serve_as PROGRAM off|on|require psk|x509
serve_as() {
  local keys_of=()
  new_socket
  case $1-$3 in
    nbdkit-psk) keys_of=(--tls-psk="$keys/keys.psk") ;;
    nbdkit-x509) keys_of=(--tls-certificates="$keys/server") ;;
    nbdring-psk) keys_of=(--tls-psk "$keys/keys.psk") ;;
    nbdring-x509) keys_of=(--tls-certificates "$keys/server") ;;
    qemu-nbd-psk) keys_of=(--object "tls-creds-psk,id=t,dir=$keys,endpoint=server") ;;
    qemu-nbd-x509)
      keys_of=(--object "tls-creds-x509,id=t,dir=$keys/server,endpoint=server,verify-peer=off")
      ;;
  esac
  case $1-$2 in
    nbdkit-*) start nbdkit -f -U "$socket" --tls="$2" "${keys_of[@]}" memory 1M ;;
    nbdring-on) start "$NBDRING" serve memory:1M --unix "$socket" --tls allow "${keys_of[@]}" ;;
    nbdring-*) start "$NBDRING" serve memory:1M --unix "$socket" --tls "$2" "${keys_of[@]}" ;;
    qemu-nbd-off) start qemu-nbd -t -k "$socket" -f raw "$work/image" ;;
    qemu-nbd-require)
      start qemu-nbd -t -k "$socket" -f raw "${keys_of[@]}" --tls-creds t "$work/image"
      ;;
  esac
}

# info POLICY PARAMETERS [USER]: sets said and status.
info() {
  local parameters="&$2"
  status=0
  [[ $1 != off ]] || parameters='' # keys that are not to be used are a contradiction
  timeout 20 "$NBDRING" info "nbd+unix://${3:-alice}@/?socket=$socket$parameters" --tls "$1" \
    >"$work/said" 2>"$work/complaint" </dev/null || status=$?
  said=$(cat "$work/said" "$work/complaint")
}

parameters_of() {
  case $1 in
    psk) echo "tls-psk-file=$keys/keys.psk" ;;
    x509) echo "tls-certificates=$keys/${2:-lone}&tls-hostname=${3:-nas}" ;;
  esac
}

# What a cell has to be: clear, TLS, or the exit code 6.
expected_of() {
  case $1-$2 in
    off-require | require-off) echo 6 ;;
    off-* | *-off) echo clear ;;
    *) echo TLS ;;
  esac
}

truncate -s 1M "$work/image"
printf '%-9s %-5s %-8s | %-8s %-8s %-8s\n' server keys 'its TLS' off allow require
for program in nbdkit qemu-nbd nbdring; do
  for kind in psk x509; do
    for policy in off on require; do
      [[ $program-$policy != qemu-nbd-on ]] || continue # it has no such mode
      serve_as $program $policy $kind
      cells=()
      for client in off allow require; do
        info $client "$(parameters_of $kind)"
        case $status in
          0) if grep -q 'TLS1' <<<"$said"; then cell=TLS; else cell=clear; fi ;;
          *) cell=$status ;;
        esac
        expect_equal "$program $kind, TLS $policy, client $client ($said)" "$cell" \
          "$(expected_of $policy $client)"
        ((status == 0)) || expect_equal "lines of: $said" "$(wc -l <"$work/complaint")" 1
        cells+=("$cell")
      done
      printf '%-9s %-5s %-8s | %-8s %-8s %-8s\n' "$program" "$kind" "$policy" "${cells[@]}"
    done
  done
done
pass "every cell"

# refused WHAT TEXT PARAMETERS [USER]: exit code 6, one line that has TEXT in it.
refused() {
  info require "$3" "${4:-}"
  expect_equal "exit code with $1 ($said)" "$status" 6
  expect_equal "lines with $1" "$(wc -l <"$work/complaint")" 1
  grep -qE -- "$2" <<<"$said" || fail "$1: '$2' is missing in: $said"
  printf '%-28s %s\n' "$1:" "${said#nbdring: }"
}

serve_as nbdkit require psk
refused 'wrong key' "does not know the user 'alice', or the key is wrong" \
  "tls-psk-file=$keys/wrong/keys.psk"
refused 'wrong user' "does not know the user 'carol', or the key is wrong" \
  "tls-psk-file=$keys/wrong/keys.psk" carol
refused 'user without a key' "has no key for the user 'dave'" "$(parameters_of psk)" dave
refused 'certificates to a PSK server' 'pre-shared key|closed' "$(parameters_of x509)"

serve_as nbdkit require x509
refused 'wrong host name' "CN=nas is not for 'other' but for 'nas', 'localhost', '127.0.0.1'" \
  "$(parameters_of x509 lone other)"
make_ca "$keys/other" 'Another CA'
refused 'unknown CA' 'CN=nas is signed by CN=Our CA, whom nothing in' "$(parameters_of x509 other)"
cp -r "$keys/lone" "$keys/revoking"
revoke "$keys/revoking" "$keys/server/server-cert.pem"
refused 'revoked' 'CN=nas has been revoked, says' "$(parameters_of x509 revoking)"
refused 'a key to a certificate server' 'wants certificates|closed' "$(parameters_of psk)"

dates=('activation_date="2020-01-01 00:00:00"' 'expiration_date="2021-01-02 00:00:00"')
make_certificate "$keys/old" server "$keys/ca" cn=nas dns_name=nas "${dates[@]}"
new_socket
start nbdkit -f -U "$socket" --tls=require --tls-certificates="$keys/old" memory 1M
refused 'expired' 'CN=nas expired on 2021-01-02' "$(parameters_of x509)"
dates=('activation_date="2090-01-01 00:00:00"' 'expiration_date="2091-01-01 00:00:00"')
make_certificate "$keys/new" server "$keys/ca" cn=nas dns_name=nas "${dates[@]}"
new_socket
start nbdkit -f -U "$socket" --tls=require --tls-certificates="$keys/new" memory 1M
refused 'not valid yet' 'CN=nas is not valid before 2090-01-01' "$(parameters_of x509)"

for program in nbdkit nbdring; do
  new_socket
  case $program in
    nbdkit)
      start nbdkit -f -U "$socket" --tls=require --tls-certificates="$keys/server" \
        --tls-verify-peer memory 1M
      ;;
    nbdring)
      start "$NBDRING" serve memory:1M --unix "$socket" --tls-certificates "$keys/server" \
        --tls-verify-peer
      ;;
  esac
  refused "$program: no client certificate" "client('s)? certificate" "$(parameters_of x509)"
  info require "$(parameters_of x509 client)"
  expect_equal "$program with a client certificate ($said)" "$status" 0
done

# A server of TLS 1.2: taken, for its key exchange is ephemeral; refused where 1.3 is asked for.
new_socket
start "$NBDRING" serve memory:1M --unix "$socket" --tls-certificates "$keys/server" \
  --tls-priority NORMAL:-VERS-ALL:+VERS-TLS1.2
info require "$(parameters_of x509)"
expect_equal "TLS 1.2 ($said)" "$status" 0
grep -q 'TLS1.2' <<<"$said" || fail "not TLS 1.2: $said"
refused 'TLS 1.2 only' 'another version of TLS|no version of TLS' \
  "$(parameters_of x509)&tls-priority=NORMAL:-VERS-ALL:%2BVERS-TLS1.3"

# It agrees on TLS, and then it speaks something else: greeting, client's flags, STARTTLS, ACK.
cat >"$work/no-tls" <<'END'
#!/bin/bash
printf 'NBDMAGICIHAVEOPT\x00\x03'
head -c 20 >/dev/null
printf '\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x00'
head -c 20 >/dev/null
printf 'HTTP/1.1 400 Bad Request\r\n\r\n'
sleep 1
END
chmod +x "$work/no-tls"
new_socket
start socat "UNIX-LISTEN:$socket,fork" "EXEC:$work/no-tls"
refused 'no TLS' 'what answered is not TLS' "$(parameters_of psk)"
pass "every refusal in its own words"
