#!/bin/bash
# wss: by certificates and by nothing less: who the server is, when it was, and what TLS cannot be.

source "$(dirname "$0")/ws-client-lib.sh"
requires certtool
source "$(dirname "$0")/lib-tls.sh"
make_pki
make_ca "$keys/other" 'Another CA'
make_certificate "$keys/stranger" server "$keys/other" cn=localhost dns_name=localhost ip_address=127.0.0.1
make_certificate "$keys/elsewhere" server "$keys/ca" cn=elsewhere dns_name=elsewhere
make_certificate "$keys/old" server "$keys/ca" cn=localhost dns_name=localhost ip_address=127.0.0.1 \
  'activation_date="2020-01-01 00:00:00"' 'expiration_date="2021-01-02 00:00:00"'

make_source
start_nbdkit file "$work/image"
start_wss() { start_bridge "$python" "$ws_client/bridge.py" "$nbd_socket" --tls "$@"; }
with_ca() { echo "wss://${2:-127.0.0.1}:$port/vm?tls-certificates=$keys/$1"; }

start_wss "$keys/server" --cut 5000 --ping 0.1
expect_way "$(with_ca lone)"
expect_quiet_log
expect_reads "$(with_ca lone localhost)" "$work/image"
"$NBDRING" info --tls-certificates "$keys/lone" "wss://127.0.0.1:$port/" >"$work/info"
grep -q '^tls  *TLS1.3, ' "$work/info" || fail "$(cat "$work/info")"
expect_refused 6 "certificate" "$NBDRING" info "$(with_ca other)"
expect_refused 6 "certificate" "$NBDRING" info "wss://127.0.0.1:$port/"
"$NBDRING" info "wss://127.0.0.1:$port/?tls-verify-peer=0" 2>"$work/warning" >/dev/null
grep -q 'anybody can be the server' "$work/warning" || fail "no warning: $(cat "$work/warning")"
expect_refused 2 "contradicts wss://, which demands TLS; write ws://" \
  "$NBDRING" info --tls=off "wss://127.0.0.1:$port/"
expect_refused 5 "cannot open ws://127.0.0.1:$port/" "$NBDRING" info "ws://127.0.0.1:$port/"
stop_bridge
pass "a server whom our CA knows, over TLS"

start_wss "$keys/elsewhere"
expect_refused 6 "127.0.0.1" "$NBDRING" info "$(with_ca lone)"
expect_reads "$(with_ca lone)&tls-hostname=elsewhere" "$work/image"
stop_bridge
start_wss "$keys/stranger"
expect_refused 6 "certificate" "$NBDRING" info "$(with_ca lone)"
stop_bridge
start_wss "$keys/old"
expect_refused 6 "expired" "$NBDRING" info "$(with_ca lone)"
stop_bridge
pass "another name, another CA, another time: refused"

start_wss "$keys/server" --clients
expect_reads "$(with_ca client)" "$work/image"
expect_refused 6 "certificate" "$NBDRING" info "$(with_ca lone)"
stop_bridge
pass "a server that wants to know the client"

start_bridge "$python" "$ws_client/bridge.py" "$nbd_socket"
expect_refused 6 "cannot open wss://127.0.0.1:$port/vm" "$NBDRING" info "$(with_ca lone)"
stop_bridge
pass "a server without TLS"
