# For the detach-*.sh tests, sourced: a probe of generic netlink that runs all the time, and a clock.

source "$(dirname "${BASH_SOURCE[0]}")/remote-functions.sh"
trap 'stop_probe; stop_servers; show_leftovers_on_failure' EXIT

probe=
start_probe() {
  python3 - >"$SCRATCH/probe" <<'PROBE' &
# Asks generic netlink's controller ten times a second; at SIGTERM it tells the longest answer in milliseconds.
import signal, socket, struct, sys, time

worst = 0.0
asked = None

def end(*_):
    now = time.monotonic() - asked if asked else 0
    print(int(max(worst, now) * 1000), flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, end)
print("asking", flush=True)
attribute = struct.pack("=HH", 4 + 7, 2) + b"nlctrl\0".ljust(8, b"\0")
body = struct.pack("=BBH", 3, 1, 0) + attribute
request = struct.pack("=IHHII", 16 + len(body), 16, 1, 1, 0) + body
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
while True:
    asked = time.monotonic()
    netlink.send(request)
    netlink.recv(65536)
    worst = max(worst, time.monotonic() - asked)
    asked = None
    time.sleep(0.1)
PROBE
  probe=$!
  until_true 20 grep -q asking "$SCRATCH/probe" || fail "the probe does not start"
}
stop_probe() {
  [[ -n $probe ]] || return 0
  kill "$probe" 2>/dev/null || true
  wait "$probe" 2>/dev/null || true
  probe=
}

milliseconds_now() { echo $(($(date +%s%N) / 1000000)); }

# ends_in_time WHAT MILLISECONDS: `detach --force` of $device ends so, and generic netlink answers meanwhile.
ends_in_time() {
  local what=$1 limit=$2 started status=0 took worst
  start_probe
  started=$(milliseconds_now)
  "$NBDRING" detach --force "$device" >"$SCRATCH/detach.log" 2>&1 || status=$?
  took=$(($(milliseconds_now) - started))
  stop_probe
  sed 's/^/  /' "$SCRATCH/detach.log"
  ((status == 0)) || fail "$what: detach --force ended with $status"
  ((took <= limit)) || fail "$what: detach --force took $took ms"
  worst=$(tail -n 1 "$SCRATCH/probe")
  ((worst <= 2500)) || fail "$what: generic netlink was away for $worst ms"
  echo "ok: $what: detached in $took ms; generic netlink answered within $worst ms"
}

# Its I/O has failed, and nothing of it is left.
is_gone() {
  until_true 15 bash -c "[[ -z \$(jobs -rp) && ! -e /sys/block/${device#/dev/} ]]" || fail "$device is still there"
}

record_of() { "$NBDRING" list --json | python3 -c "import json, sys; print(json.load(sys.stdin)[0].get('$1', 0))"; }

# More than the connections' buffers hold, so that the driver waits for room in them.
start_writers() {
  local i
  writers=()
  for i in 1 2 3 4; do
    dd if=/dev/zero of="$device" bs=1M seek=$((i * 12)) count=12 oflag=direct conv=notrunc status=none 2>/dev/null &
    writers+=("$!")
  done
}
# Where they do not end, the device was not ended.
writers_end() {
  local writer
  for writer in "${writers[@]}"; do
    until_true 10 bash -c "! kill -0 $writer 2>/dev/null" || fail "a writer still waits"
    wait "$writer" 2>/dev/null || true
  done
}
