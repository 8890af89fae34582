# For ws-client-*.sh: other people's websocket servers with an NBD server behind them, which our ws:
# client uses. Sourced.

source "$(dirname "${BASH_SOURCE[0]}")/ways-lib.sh"
"$python" -c 'import websockets' 2>/dev/null || skip "python3-websockets is not installed"

ws_client=$checkout/tests/interop/ws-client
nbd_socket=$work/nbd
nbdkit_pid=''
bridge_pid=''
at_exit+=('[[ -z $nbdkit_pid ]] || end_process "$nbdkit_pid"')
at_exit+=('[[ -z $bridge_pid ]] || end_process "$bridge_pid"')

nbdkit_is_up() { is_listening "$nbd_socket"; }

# start_nbdkit ARGS…: at $nbd_socket, what the bridges pass on to
start_nbdkit() {
  rm -f "$nbd_socket"
  nbdkit -f -U "$nbd_socket" "$@" >"$work/nbdkit.log" 2>&1 &
  nbdkit_pid=$!
  wait_until 20 nbdkit_is_up || fail "nbdkit $*: $(cat "$work/nbdkit.log")"
}

bridge_is_up_or_gone() { [[ -s $work/port ]] || has_ended "$bridge_pid"; }

# start_bridge COMMAND…: one that prints its port. Sets port, bridge_pid.
start_bridge() {
  : >"$work/port"
  "$@" >"$work/port" 2>"$work/bridge.log" &
  bridge_pid=$!
  wait_until 20 bridge_is_up_or_gone || fail "$*: no port after 20 s"
  [[ -s $work/port ]] || fail "$*: $(cat "$work/bridge.log")"
  port=$(head -n 1 "$work/port")
}

stop_bridge() {
  end_process "$bridge_pid"
  bridge_pid=''
}
