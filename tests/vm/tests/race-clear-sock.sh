#!/bin/bash
# Another tool takes the device's connections away (NBD_CLEAR_SOCK) while it is mounted, ten times, with NBDRING_LONG=1
# five hundred: each time the engine ends or can be detached, nothing stays, and the device can be attached again.
# vm-timeout: 3600
# vm-allow: I/O error|EXT4-fs|JBD2|Buffer I/O|lost async page write
# vm-allow: block nbd[0-9]+: (Receive control failed|Send (control|data|disconnect) failed|Dead connection)
source "$(dirname "$0")/device-functions.sh"
cd "$SCRATCH"

rounds=10
[[ -z ${NBDRING_LONG:-} ]] || rounds=500

truncate -s 16M image
mkfs.ext4 -q -O ^has_journal image
mkdir -p mnt

clear_sock() {
  timeout 20 python3 - "$1" <<'END'
import fcntl, os, sys
device = os.open(sys.argv[1], os.O_RDWR)
fcntl.ioctl(device, 0xAB04)
END
}

# Whatever became of it: nothing holds it any more.
is_gone() { [[ ! -e /sys/block/nbd$number/pid ]]; }
ends() {
  until_true 3 is_gone || "$NBDRING" detach --force "$device" >/dev/null 2>&1 || true
  until_true 20 is_gone || fail "round $round: $device is still attached"
}

for ((round = 1; round <= rounds; ++round)); do
  attach --connections $((round % 4 + 1)) image
  mount "$device" mnt 2>/dev/null &
  mounting=$!
  sleep "0.0$((RANDOM % 10))"
  clear_sock "$device" 2>/dev/null || true
  if wait "$mounting"; then
    echo "$round" >mnt/file 2>/dev/null || true
    umount mnt || umount --lazy mnt
  fi
  ends
  generic_netlink_answers || fail "round $round: generic netlink hangs"
  ((round % 50 != 0)) || echo "round $round"
done
until_true 20 bash -c '! pgrep -x nbdring >/dev/null' || fail "an engine is left: $(pgrep -a -x nbdring)"
"$NBDRING" list >/dev/null
is leftovers "$(leftovers)" ''
attach image
mount "$device" mnt
umount mnt
detach "$device"
echo "ok: $rounds mounts raced NBD_CLEAR_SOCK"
