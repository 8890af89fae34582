# For the scripts about `nbdring gateway` and `nbdring proxy`, sourced: sessions with socket fronts, which need no
# driver. Each peer carries its websockets to an nbdkit.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
requires nbdkit nbdinfo nbdcopy qemu-io
"$python" -c 'import websockets' 2>/dev/null || skip "python3-websockets is not installed"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
gateway_log=$work/gateway.log
serve_log=$gateway_log
gateway_pid=''
at_exit+=('[[ -z $gateway_pid ]] || end_process "$gateway_pid"')

# start_gateway ARGS…: on a free port of this machine. Sets port, gateway_pid.
start_gateway() {
  : >"$work/gateway.out"
  "$NBDRING" gateway --listen 127.0.0.1:0 "$@" >"$work/gateway.out" 2>>"$gateway_log" &
  gateway_pid=$!
  wait_until 20 gateway_is_up_or_gone || fail "the gateway does not listen"
  is_running "$gateway_pid" || fail "gateway $*: ended at once: $(cat "$gateway_log")"
  port=$(sed -n 's,^https\?://127.0.0.1:\([0-9]*\)/$,\1,p' "$work/gateway.out")
  [[ -n $port ]] || fail "no URL: $(cat "$work/gateway.out")"
}
gateway_is_up_or_gone() { [[ -s $work/gateway.out ]] || ! is_running "$gateway_pid"; }

stop_gateway() {
  local status=0
  kill -TERM "$gateway_pid"
  wait_until 40 has_ended "$gateway_pid" || fail "the gateway did not end within 40 s of SIGTERM"
  wait "$gateway_pid" || status=$?
  gateway_pid=''
  ((status == 0)) || fail "the gateway ended with status $status"
}

# start_nbdkit NAME ARGS…: a server on $work/NAME.nbd.
start_nbdkit() {
  local name=$1 pid
  shift
  nbdkit -f -U "$work/$name.nbd" "$@" 2>>"$work/nbdkit.log" &
  pid=$!
  at_exit+=("end_process $pid")
  wait_until 20 is_listening "$work/$name.nbd" || fail "nbdkit $* does not listen"
}

# start_peer NAME CONFIGURATION NBDKIT-NAME ARGS…: its events go to $work/NAME.events, tell NAME COMMAND speaks to it.
start_peer() {
  local name=$1 configuration=$2 nbd=$work/$3.nbd
  shift 3
  mkfifo "$work/$name.in"
  "$python" "$here/gateway-peer.py" "${scheme:-ws}://127.0.0.1:$port/$configuration" "$nbd" "$@" \
    <>"$work/$name.in" >"$work/$name.events" 2>&1 &
  at_exit+=("end_process $!")
}
tell() { echo "$2" >"$work/$1.in"; }
forget_peer() { rm -f "$work/$1.in"; }

# expect_event NAME REGEX [SECONDS]
expect_event() {
  wait_until "${3:-20}" grep -qE "$2" "$work/$1.events" || fail "no '$2' from $1: $(cat "$work/$1.events")"
}
expect_log() { wait_until "${2:-20}" grep -qE "$1" "$gateway_log" || fail "the log does not say '$1'"; }
expect_serving() { wait_until "${2:-20}" is_listening "$1" || fail "nobody listens on $1"; }
is_not_listening() { ! is_listening "$1"; }
expect_ended() { wait_until "${2:-20}" is_not_listening "$1" || fail "$1 is still there"; }

make_image() { head -c "$2" /dev/urandom >"$1"; }
sha_through() { nbdcopy "nbd+unix:///?socket=$1" - | sha256sum | cut -d ' ' -f 1; }

# make_hooks FOLDER NAME…: each notes how it was called and what it was told, in $work/hooks.
make_hooks() {
  local folder=$1 name
  shift
  mkdir -p "$folder"
  for name in "$@"; do
    cat >"$folder/$name" <<HOOK
#!/bin/sh
told="\$NBDRING_CONFIGURATION \$NBDRING_SIZE \$NBDRING_READ_ONLY \$NBDRING_SOCKET"
echo "\$(basename "\$0") \$1 \$2 \$told" >>$work/hooks
HOOK
    chmod 755 "$folder/$name"
  done
}
