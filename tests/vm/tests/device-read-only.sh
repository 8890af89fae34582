#!/bin/bash
# A read-only image is a read-only device: whichever way it was asked for, nothing can change a byte.
# The kernel says so when somebody tries:
# vm-allow: nbd[0-9]+.*(read-only|recovery required)|Trying to write to read-only
# check-kernel: 6.1
source "$(dirname "$0")/device-functions.sh"

cd "$SCRATCH"

truncate -s 32M image
mkfs.ext4 -q image
mkdir mnt
modprobe loop
mount -o loop image mnt
head -c 4M /dev/urandom >mnt/file
wanted=$(sum_of mnt/file)
umount mnt
image_sum=$(sum_of image)

check() {
  attach "$@"
  is "getro, $*" "$(blockdev --getro "$device")" 1
  ! dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct status=none 2>dd.err || fail "$*: written"
  ! blkdiscard "$device" 2>/dev/null || fail "$*: discarded"
  ! blkdiscard -z "$device" 2>/dev/null || fail "$*: zeroed"
  ! mount -o rw "$device" mnt 2>/dev/null || findmnt -no OPTIONS mnt | grep -qw ro || fail "$*: mounted rw"
  mountpoint -q mnt || mount -o ro "$device" mnt
  is "$*" "$(sum_of mnt/file)" "$wanted"
  ! touch mnt/file 2>/dev/null || fail "$*: touched"
  umount mnt
  # Even when the device's own flag is taken away, the engine refuses.
  if blockdev --setrw "$device" 2>/dev/null; then
    ! dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct status=none 2>dd.err || fail "$*: written after setrw"
  fi
  detach "$device"
  is "image, $*" "$(sum_of image)" "$image_sum"
}

check -r image
check 'file:image?readonly'
check -c 4 'file:image?cache=none&readonly'

# Two read-only devices of one image; a third that writes is refused.
attach -r --id one image
first=$device
attach -r --id two image
refused 3 'image is in use: another program holds its lock' "$NBDRING" attach --id three image
detach "$device"
detach "$first"
is "leftovers" "$(leftovers)" ""
