#!/bin/bash
# A peer's disk on /dev/nbd0: by `nbdring gateway` over websockets, and by `nbd-proxy` over standard input and output.
# Hooks read the device while they run; list, status and detach know it; an eject of a mounted disk waits.
# vm-timeout: 300
# check-kernel: 6.12
# vm-allow: Other side returned error|I/O error|EXT4-fs (error|warning)|JBD2: .*[Ee]rror
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; cat "$SCRATCH/gateway.log" >&2 || true; show_leftovers_on_failure' EXIT
cd "$SCRATCH"
peer_script=$(realpath "$(dirname "$0")/../../interop/gateway-peer.py")
mkdir -p state.d mnt

# Each hook reads the device past the page cache: a start hook that the pump waited for would hang here.
cat >state.d/10-reads <<'HOOK'
#!/bin/sh
read_ok=no
dd if="$NBDRING_DEVICE" of=/dev/null bs=64k count=4 iflag=direct status=none && read_ok=yes
echo "$1 $2 $NBDRING_DEVICE $(blockdev --getsize64 "$NBDRING_DEVICE") $NBDRING_SIZE $read_ok" >>/scratch/hooks
[ $read_ok = yes ] || [ "$1" = stop ]
HOOK
chmod 755 state.d/10-reads
cat >gateway.toml <<TOML
[gateway]
insecure = true
listen = ["127.0.0.1:8000"]
state-dir = "$SCRATCH/state.d"
[gateway.configurations.0]
device = "/dev/nbd0"
connections = 2
grace = 8
TOML

truncate -s 64M image
start_server nbdkit -f -U "$SCRATCH/nbd.sock" file image
wait_for_socket "$SCRATCH/nbd.sock"
"$NBDRING" gateway --config "$SCRATCH/gateway.toml" >gateway.out 2>gateway.log &
gateway=$!
servers+=("$gateway")
wait_for_port 8000

# start_peer NAME ARGS…: tell NAME COMMAND speaks to it.
start_peer() {
  local name=$1
  shift
  rm -f "$name.in"
  mkfifo "$name.in"
  python3 "$peer_script" ws://127.0.0.1:8000/0 "$SCRATCH/nbd.sock" "$@" <>"$name.in" >"$name.events" 2>&1 &
  servers+=("$!")
}
tell() { echo "$2" >"$1.in"; }
log_says() { grep -qE "$1" gateway.log; }
expect_log() { until_true "${2:-30}" log_says "$1" || fail "the gateway's log does not say '$1'"; }
peer_says() { grep -qE "$2" "$1.events"; }
expect_peer() { until_true "${3:-30}" peer_says "$1" "$2" || fail "peer $1 does not say '$2': $(cat "$1.events")"; }
peer_state() {
  "$NBDRING" status /dev/nbd0 --json | python3 -c "import json,sys; print(json.load(sys.stdin)['peer']['$1'])"
}
is_serving() { [[ $(peer_state state 2>/dev/null) == serving ]]; }
is_detached() { [[ ! -e /sys/block/nbd0/pid ]]; }
expect_serving() { until_true 60 is_serving || fail "/dev/nbd0 is not served"; }

start_peer one --connections 2 --image disk-1 --login 0
expect_serving
is "what the start hook saw" "$(cat hooks)" "start 0 /dev/nbd0 67108864 67108864 yes"
listed='import json,sys; d = json.load(sys.stdin); print(d[0]["device"], d[0]["configuration"], len(d))'
is "the list" "$("$NBDRING" list --json | python3 -c "$listed")" "/dev/nbd0 0 1"
is "the peer" "$(peer_state address)" 127.0.0.1
"$NBDRING" status /dev/nbd0 | grep -q '^peer  *127.0.0.1 .*configuration 0  serving  connected for' ||
  fail "status has no peer"
mkfs.ext4 -q /dev/nbd0
mount /dev/nbd0 mnt
head -c 20M /dev/urandom >mnt/file
sum=$(sum_of mnt/file)
refused 3 'mounted on' "$NBDRING" detach /dev/nbd0
refused 3 '/dev/nbd0 is attached already' "$NBDRING" attach memory:1M /dev/nbd0

# The peer goes away in the middle, and comes back: nothing but a pause.
sync
tell one drop
until_true 20 log_says 'the peer is away' || fail "an absence that nobody noticed"
is "the state" "$(peer_state state)" away
(sleep 3 && tell one back) &
dd if=/dev/urandom of=mnt/second bs=1M count=4 conv=fsync status=none
expect_serving
is "how often it came back" "$(peer_state returns)" 1
! dmesg | grep -q 'I/O error' || fail "an absence that the device saw: $(dmesg | grep 'I/O error')"
umount mnt

# Ended from this side: the stop hook still reads, the peer is told not to come back.
: >hooks
"$NBDRING" detach /dev/nbd0
is "what the stop hook saw" "$(cat hooks)" "stop 0 /dev/nbd0 67108864 67108864 yes"
is_detached || fail "detach returned before the end"
is "the list" "$("$NBDRING" list --json)" "[]"
expect_peer one '^closed 4000 detached$'
e2fsck -fn image >e2fsck.log 2>&1 || fail "$(cat e2fsck.log)"

# A second session on the same device; ejected while mounted it waits, and then fails its I/O.
: >hooks
start_peer two
expect_serving
mount /dev/nbd0 mnt
is "the file" "$(sum_of mnt/file)" "$sum"
tell two eject
expect_log 'has ejected its disk while /dev/nbd0 is in use \(mounted on'
"$NBDRING" status /dev/nbd0 | grep -q 'I/O waits for it for 8 s' || fail "status does not say that I/O waits"
umount mnt
until_true 30 is_detached || fail "the device outlives its last user"
expect_log 'session ended: ejected by the peer'

# Somebody else has the device: refused with who.
truncate -s 8M other
attach other /dev/nbd0
start_peer three
expect_log '/dev/nbd0 is attached already .backend .*file:/scratch/other'
expect_peer three '^closed 4001 failed: /dev/nbd0 is attached already'
detach /dev/nbd0

# The gateway's end takes the sessions along.
start_peer four
expect_serving
kill -TERM "$gateway"
expect_peer four '^closed 1001'
wait "$gateway" || fail "the gateway ended with $?"
is_detached || fail "the gateway left its device"
[[ ! -e /run/nbdring/nbd0.json ]] || fail "the gateway left its record"

# nbd-proxy, with jsnbd's own file: websocketd would start it so.
mkdir -p proxy
ln -s "$NBDRING" proxy/nbd-proxy
echo '{"timeout":30,"configurations":{"0":{"nbd-device":"/dev/nbd0","metadata":{"description":"x"}}}}' >config.json
is metadata "$(proxy/nbd-proxy --metadata --json-config config.json)" '{ "0": { "description": "x" } }'
: >hooks
cat >over-pipes.py <<'PY'
import socket, subprocess, sys
ours, theirs = socket.socketpair()
proxy = subprocess.Popen(sys.argv[2:], stdin=theirs, stdout=theirs)
theirs.close()
server = subprocess.Popen(['nbdkit', '-s', 'file', sys.argv[1]], stdin=ours, stdout=ours)
ours.close()
sys.exit(proxy.wait())
PY
start_server python3 over-pipes.py image proxy/nbd-proxy 0 --json-config config.json --state-dir "$SCRATCH/state.d"
proxy=${servers[-1]}
expect_serving
is "the hook" "$(cat hooks)" "start 0 /dev/nbd0 67108864 67108864 yes"
mount -o ro /dev/nbd0 mnt
is "the file" "$(sum_of mnt/file)" "$sum"
umount mnt
"$NBDRING" detach /dev/nbd0
wait "$proxy" || fail "nbd-proxy ended with $?"
is_detached || fail "nbd-proxy left its device"
echo "ok: gateway and proxy"
