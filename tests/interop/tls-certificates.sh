#!/bin/bash
# Other programs' clients with certificates: with and without one of their own.

source "$(dirname "$0")/lib.sh"
requires certtool nbdinfo nbdcopy qemu-img
source "$(dirname "$0")/lib-tls.sh"
make_pki

with_certificates() { echo "nbds+unix:///?socket=$socket&tls-certificates=$1"; }
qemu_info() {
  qemu-img info --object "tls-creds-x509,id=t,dir=$1,endpoint=client,verify-peer=on" \
    --image-opts "driver=nbd,server.type=unix,server.path=$socket,tls-creds=t,tls-hostname=nas"
}

head -c 8000000 /dev/urandom >"$work/image"
start_serve "file:$work/image?readonly" --tls-certificates "$keys/server"
for folder in client lone; do
  nbdcopy "$(with_certificates "$keys/$folder")" "$work/copy"
  cmp "$work/image" "$work/copy"
  qemu_info "$keys/$folder" | grep -q 'virtual size: 7.63 MiB'
done
expect_quiet_log
stop_serve
pass "anybody who trusts the CA gets in, encrypted"

start_serve memory:1M --tls-certificates "$keys/server" --tls-verify-peer
expect_equal 'size' "$(nbdinfo --size "$(with_certificates "$keys/client")")" 1048576
qemu_info "$keys/client" | grep -q 'virtual size: 1 MiB'
expect_quiet_log
if timeout 20 nbdinfo --size "$(with_certificates "$keys/lone")" 2>/dev/null; then fail "let in"; fi
grep -q 'the client showed no certificate' "$serve_log" || fail "no reason: $(cat "$serve_log")"
make_ca "$keys/other" 'Another CA'
make_certificate "$keys/stranger" client "$keys/other" cn=mallory
cp "$keys/ca/ca-cert.pem" "$keys/stranger/"
: >"$serve_log"
if timeout 20 nbdinfo --size "$(with_certificates "$keys/stranger")" 2>/dev/null; then fail "let in"; fi
[[ -s $serve_log ]] || fail "nothing logged of the stranger"
stop_serve
pass "with --tls-verify-peer only a certificate of the CA gets in"

cp -r "$keys/server" "$keys/revoking"
revoke "$keys/revoking" "$keys/client/client-cert.pem"
start_serve memory:1M --tls-certificates "$keys/revoking" --tls-verify-peer
if timeout 20 nbdinfo --size "$(with_certificates "$keys/client")" 2>/dev/null; then fail "let in"; fi
grep -q "the client's certificate CN=alice has been revoked" "$serve_log" || fail "$(cat "$serve_log")"
stop_serve
pass "a revoked certificate does not get in"

make_certificate "$keys/old" server "$keys/ca" cn=nas 'activation_date="2020-01-01 00:00:00"' \
  'expiration_date="2021-01-02 00:00:00"'
expect_refused 6 'CN=nas expired on 2021-01-02' "$NBDRING" serve memory:1M --unix "$work/s" \
  --tls-certificates "$keys/old"
expect_refused 2 'server-cert.pem' "$NBDRING" serve memory:1M --unix "$work/s" \
  --tls-certificates "$keys/lone"
pass "serve says what is wrong with its certificate"
