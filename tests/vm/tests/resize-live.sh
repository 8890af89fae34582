#!/bin/bash
# A device's size changes while it is used: with the file that grew, to a given size, smaller with --force; a remote's
# export that grew; partitions and a mounted file system; the driver, the record and status agree, and verified writes
# go on meanwhile without an error.
# vm-timeout: 600
# check-kernel: 6.12
# vm-allow: block nbd0: (Receive control|Send disconnect) failed
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"
mib=$((1 << 20))

size_in() { python3 -c "import json, sys; print(json.load(sys.stdin)$1['size'])"; }
# has_size BYTES: everybody says so.
has_size() {
  is "blockdev's size" "$(blockdev --getsize64 "$device")" "$1"
  is "list's size" "$("$NBDRING" list --json | size_in '[0]')" "$1"
  is "status' size" "$("$NBDRING" status "$device" --json | size_in '')" "$1"
}

resize() { "$NBDRING" resize "$device" "$@"; }

# While the size changes, its first 16 MiB are written and read back.
start_verified_writes() {
  fio --name=verified --filename="$device" --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=4k --size=16M \
    --time_based --runtime=600 --verify=crc32c --verify_fatal=1 --verify_backlog=64 --rate_iops=200 >fio.log 2>&1 &
  fio=$!
  sleep 2
}
end_verified_writes() {
  kill -0 "$fio" || fail "fio ended: $(tail -n 20 fio.log)"
  kill -INT "$fio"
  wait "$fio" || (($? == 128)) || fail "fio ended with $?: $(tail -n 20 fio.log)"  # 128: the signal
  grep -q 'err= 0' fio.log || fail "fio saw errors: $(tail -n 20 fio.log)"
  is "I/O errors" "$(counted all errors)" 0
}

truncate --size 64M image
attach --connections "${1:-2}" image
start_verified_writes
resize | grep -q 'as before' || fail "an unchanged size is not called so"
truncate --size 96M image
resize
has_size $((96 * mib))
resize 128M
has_size $((128 * mib))
is "the file's size" "$(stat -c %s image)" $((128 * mib))
resize 128M | grep -q 'as before' || fail "the same size is not called so"
refused 2 'are not a multiple of its block size, 512: say 1000448' "$NBDRING" resize "$device" 1000449
refused 1 'would cut 64.0 MiB .* off; --force does it' "$NBDRING" resize "$device" 64M
resize 64M --force
has_size $((64 * mib))
is "the file's size, which nobody cut" "$(stat -c %s image)" $((128 * mib))
resize 128M
has_size $((128 * mib))
end_verified_writes

# What is written behind the former end is in the file.
printf 'behind' | dd of="$device" bs=512 seek=$((127 * 2048)) oflag=direct conv=sync status=none
is "what is behind the former end" "$(dd if=image bs=512 skip=$((127 * 2048)) count=1 status=none | tr -d '\0')" behind

mkfs.ext4 -q -F "$device" 32M
mkdir -p mnt
mount "$device" mnt
echo kept >mnt/file
resize2fs "$device" >/dev/null 2>&1
(($(stat -f -c '%b * %S' mnt) > 100 * mib)) || fail "the file system did not grow"
refused 3 "under somebody's hands: mounted on $SCRATCH/mnt" "$NBDRING" resize "$device" 64M --force
umount mnt

# Two partitions: the second one is cut off when nobody uses it.
python3 - "$device" <<'TABLE'
import sys
number = lambda value: value.to_bytes(4, "little")
entry = lambda start, count: bytes([0, 0, 0, 0, 0x83, 0, 0, 0]) + number(start) + number(count)
with open(sys.argv[1], "r+b") as disk:
    disk.write(bytes(446) + entry(2048, 65536) + entry(131072, 65536) + bytes(32) + b"\x55\xaa")
TABLE
blockdev --rereadpt "$device"
until_true 10 test -b "${device}p2" || fail "no partitions"
mkfs.ext4 -q "${device}p2"
mount "${device}p2" mnt
refused 3 "nbd0p2 mounted on $SCRATCH/mnt" "$NBDRING" resize "$device" 64M --force
umount mnt
resize 64M --force
has_size $((64 * mib))
resize 128M
has_size $((128 * mib))
mount "${device}p2" mnt || fail "the partition did not come back with the device's size"
umount mnt
detach "$device"

attach memory:16M
refused 1 'has 16.0 MiB .* only a regular file grows' "$NBDRING" resize "$device" 32M
detach "$device"

# A server's export that grows: nbdkit asks for the file's size at each connection.
truncate --size 64M image
start_server nbdkit -f -U "$SCRATCH/nbd.sock" file image
wait_for_socket "$SCRATCH/nbd.sock"
attach --connections 2 "nbd+unix:///?socket=$SCRATCH/nbd.sock"
start_verified_writes
truncate --size 80M image
resize
has_size $((80 * mib))
end_verified_writes
refused 1 'has 80.0 MiB' "$NBDRING" resize "$device" 96M
stop_servers
refused 5 'is not resized: ' timeout 30 "$NBDRING" resize "$device"
"$NBDRING" detach --force "$device"
is "leftovers" "$(leftovers)" ""
