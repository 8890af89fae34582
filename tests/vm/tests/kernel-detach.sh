#!/bin/bash
# Detach refuses while somebody uses the device, says who, and leaves nothing behind.
# vm-timeout: 900
set -euo pipefail
source "$(dirname "$0")/kernel-functions.sh"

cd "$SCRATCH"

has_own_mounts() { [[ $(readlink "/proc/$1/ns/mnt") != "$(readlink /proc/self/ns/mnt)" ]]; }

refuses_while_in_use() {
  modprobe loop
  truncate --size 64M image
  attach image
  mkfs.ext4 -q "$device"
  mkdir -p mnt && mount "$device" mnt
  refused 3 "mounted on $SCRATCH/mnt" "$NBDRING" detach "$device"
  echo kept >mnt/file
  # A mount that only another namespace has is a mount.
  unshare --mount --propagation private sleep 60 &
  local other=$!
  until_true 10 has_own_mounts "$other"
  umount mnt
  refused 3 "mounted on $SCRATCH/mnt" "$NBDRING" detach "$device"
  kill "$other" && wait "$other" || true
  detach "$device"

  attach image
  mkswap -q "$device" && swapon "$device"
  refused 3 'swap' "$NBDRING" detach "$device"
  swapoff "$device"
  local loop
  loop=$(losetup --find --show "$device")
  refused 3 "behind ${loop#/dev/}" "$NBDRING" detach "$device"
  losetup --detach "$loop"
  detach "$device"
  is "leftovers" "$(leftovers)" ""
}

# Everything that grows is counted before and after.
leaves_nothing_behind() {
  truncate --size 16M image
  attach image && detach "$device"
  local before after round
  before=$(ls /dev /run/udev/data | sort)
  for round in {1..50}; do
    attach --connections $((round % 4 + 1)) image
    [[ $device == /dev/nbd0 ]] || fail "round $round got $device"
    dd if="$device" of=/dev/null bs=64k count=1 iflag=direct status=none
    detach "$device"
  done
  is "leftovers after 50 rounds" "$(leftovers)" ""
  udevadm settle
  after=$(ls /dev /run/udev/data | sort)
  is "new files in /dev and udev's data" "$(comm -13 <(echo "$before") <(echo "$after"))" ""
}

refuses_while_in_use
leaves_nothing_behind
