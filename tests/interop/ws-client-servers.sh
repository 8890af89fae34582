#!/bin/bash
# ws: through other people's websocket servers: every byte comes and goes, whole messages or many
# fragments with pings in between.

source "$(dirname "$0")/ws-client-lib.sh"
requires websocketd node ss
[[ -e /usr/share/nodejs/ws ]] || skip "node-ws is not installed"
make_source
start_nbdkit file "$work/image"

start_bridge "$python" "$ws_client/bridge.py" "$nbd_socket"
expect_way "ws://127.0.0.1:$port/any/path?x=1"
expect_quiet_log # no warning: it is this machine
"$NBDRING" info "ws://127.0.0.1:$port/?export=other" >"$work/info"
grep -q "^size  *$size bytes" "$work/info" || fail "$(cat "$work/info")"
stop_bridge
pass "Python's websockets, a message for each piece"

start_bridge "$python" "$ws_client/bridge.py" "$nbd_socket" --cut 3000 --ping 0.05
expect_way "ws://localhost:$port"
stop_bridge
pass "Python's websockets, fragments and pings"

start_bridge node "$ws_client/bridge.mjs" "$nbd_socket"
expect_way "ws://127.0.0.1:$port/"
[[ ! -s $work/bridge.log ]] || fail "$(cat "$work/bridge.log")"
stop_bridge
pass "Node's ws"

# Each connection has a server of its own, which ends with it.
for port in $(shuf -i 20000-30000 -n 5); do
  websocketd --port="$port" --address=127.0.0.1 --binary=true nbdkit -s file "$work/image" \
    >"$work/bridge.log" 2>&1 &
  bridge_pid=$!
  websocketd_is_up_or_gone() { [[ -n $(ss -Htln "sport = :$port") ]] || has_ended "$bridge_pid"; }
  wait_until 20 websocketd_is_up_or_gone
  ! has_ended "$bridge_pid" || continue
  break
done
expect_way "ws://127.0.0.1:$port/"
pass "websocketd with a server for each connection"
