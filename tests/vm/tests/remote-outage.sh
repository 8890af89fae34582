#!/bin/bash
# The network goes away under verified writes, for 1 and for 10 seconds (with NBDRING_LONG=1 also for 100): no I/O
# error. With a recovery window that is shorter: I/O errors, and a device that can be detached at once.
# vm-timeout: 400
# check-kernel: 6.1
# vm-allow: (Buffer I/O error|I/O error, dev nbd0|blk_update_request|Other side returned error \(5\))
# vm-allow: block nbd0: (Receive control|Send disconnect) failed
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

far() { ip netns exec far "$@"; }

modprobe veth
ip netns add far
ip link add near type veth peer name far0 netns far
ip address add 192.0.2.1/24 dev near
ip link set near up
far ip address add 192.0.2.2/24 dev far0
far ip link set far0 up
far ip link set lo up

truncate -s 32M image
start_server far nbdkit -f -p 10809 --filter=cache file image cache=writeback
reachable() { "$NBDRING" info nbd://192.0.2.2/ >/dev/null 2>&1; }
until_true 30 reachable || fail "no server: $(cat server.log)"

link() { far ip link set far0 "$1"; }

# The writes go on for longer than the network is away.
outage() {
  local seconds=$1
  attach -c 2 nbd://192.0.2.2/
  fio --name=writes --filename="$device" --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=16k --size=8M \
    --rate=512k --fsync=32 --verify=crc32c --verify_fatal=1 --randseed="$seconds" >fio.log 2>&1 &
  local fio=$!
  sleep 3
  link down
  sleep "$seconds"
  is_alive "$fio" || fail "fio ended while the network was away for $seconds s: $(tail -n 20 fio.log)"
  link up
  wait "$fio" || fail "I/O errors after $seconds s without network: $(tail -n 20 fio.log)"
  is "errors after $seconds s" "$(counted read errors)+$(counted write errors)+$(counted flush errors)" 0+0+0
  "$NBDRING" status "$device"
  detach "$device"
}
is_alive() { kill -0 "$1" 2>/dev/null; }

outage 1
outage 10
[[ -z ${NBDRING_LONG:-} ]] || outage 100

# Nobody waits for ever here.
attach -c 2 --recovery-window 3 nbd://192.0.2.2/
dd if=/dev/zero of="$device" bs=64k count=4 oflag=direct status=none
link down
start=$SECONDS
! dd if=/dev/zero of="$device" bs=64k count=4 oflag=direct status=none 2>dd.log || fail "written to nobody"
echo "I/O error after $((SECONDS - start)) s"
grep -q 'Input/output error' dd.log || fail "not an I/O error: $(cat dd.log)"
((SECONDS - start <= 45)) || fail "the I/O error took $((SECONDS - start)) s"
"$NBDRING" status "$device"
start=$SECONDS
refused 1 'acknowledged writes are not flushed; wait for it, or detach with --force' "$NBDRING" detach "$device"
"$NBDRING" detach --force "$device"
((SECONDS - start <= 10)) || fail "detaching took $((SECONDS - start)) s"
echo "detached after $((SECONDS - start)) s"
link up
is leftovers "$(leftovers)" ''
echo "ok: the network may go"
