#!/bin/bash
# Discards give the image's space back, and read as zeroes; WRITE_ZEROES arrives where the driver
# knows it (6.12), and zeroes arrive as writes where it does not (6.1).
# vm-timeout: 400
source "$(dirname "$0")/device-functions.sh"

cd "$SCRATCH"

truncate -s 64M zeroes
expect_zeroes() { # OFFSET-IN-MIB COUNT
  cmp <(dd if="$device" bs=1M skip="$1" count="$2" iflag=direct status=none) \
    <(dd if=zeroes bs=1M count="$2" status=none) || fail "$1 MiB does not read as zeroes"
}

occupies() { # MIB WHAT
  local mebibytes
  mebibytes=$(mebibytes_allocated image)
  ((mebibytes >= $1 && mebibytes <= $1 + 1)) || fail "$2: the image occupies $mebibytes MiB instead of $1"
}

truncate -s 64M image
attach -c 2 image
dd if=/dev/urandom of="$device" bs=1M count=64 oflag=direct status=none
occupies 64 "written"
before=$(dd if="$device" bs=1M skip=40 iflag=direct status=none | sha256sum)

blkdiscard -o 16M -l 16M "$device"
(($(counted trim requests) > 0)) || fail "no TRIM came"
occupies 48 "blkdiscard"
expect_zeroes 16 16

blkdiscard -z -o 32M -l 8M "$device"
expect_zeroes 32 8
if kernel_is_at_least 6.12; then
  (($(counted write_zeroes requests) > 0)) || fail "no WRITE_ZEROES came"
  is 'bytes of zeroes' "$(counted write_zeroes bytes)" 8388608
  fallocate -p -o 0 -l 8M "$device" # punch: the zeroes may be holes
  expect_zeroes 0 8
  fallocate -z -o 8M -l 4M "$device"
  expect_zeroes 8 4
  (($(mebibytes_allocated image) <= 40)) || fail "punching 8 MiB left $(mebibytes_allocated image) MiB"
else
  is 'WRITE_ZEROES' "$(counted write_zeroes requests)" 0
fi
is 'what nobody touched' "$(dd if="$device" bs=1M skip=40 iflag=direct status=none | sha256sum)" "$before"
is 'trim errors' "$(counted trim errors)" 0
is 'zero errors' "$(counted write_zeroes errors)" 0

# A whole file system: deleting a file and fstrim gives its space back.
blkdiscard "$device"
occupies 0 "blkdiscard of everything"
mkfs.ext4 -q "$device"
mkdir mnt
mount "$device" mnt
dd if=/dev/urandom of=mnt/file bs=1M count=24 status=none
sync -f mnt
full=$(mebibytes_allocated image)
rm mnt/file
sync -f mnt
fstrim mnt
((full - $(mebibytes_allocated image) >= 20)) || fail "fstrim: $full MiB before, $(mebibytes_allocated image) after"
umount mnt
detach "$device"
e2fsck -fn image >e2fsck.log 2>&1 || fail "$(cat e2fsck.log)"
# What lies behind the last whole sector is out of reach, and said to be: nothing touches it.
truncate -s 5000 odd
printf tail | dd of=odd bs=1 seek=4996 conv=notrunc status=none
attach odd 2>odd.err
grep -q 'bytes=392' odd.err || fail "no word about the last 392 bytes: $(cat odd.err)"
is 'size of 5000 bytes' "$(blockdev --getsize64 "$device")" 4608
dd if=/dev/urandom of="$device" bs=512 count=9 oflag=direct status=none
blkdiscard "$device"
cmp -n 4608 "$device" zeroes
detach "$device"
is 'the tail' "$(tail -c 4 odd)" tail
is 'size of the odd image' "$(stat -c %s odd)" 5000
echo "ok: TRIM and zeroes on $(uname -r)"
