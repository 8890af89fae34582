#!/bin/bash
# Who holds a device is named: dm, md, a partition's mount, swap on a partition, a process with a node of its own.
# vm-timeout: 300
# check-kernel: 6.1
source "$(dirname "$0")/device-functions.sh"
cd "$SCRATCH"

truncate --size 64M image
attach image

modprobe dm-mod
dmsetup create --noudevsync over --table "0 65536 linear $device 0"
holder=$(basename "$(readlink -f /dev/mapper/over 2>/dev/null || echo /dev/dm-0)")
[[ -d /sys/block/$holder ]] || holder=dm-0
refused 3 "held by $holder" "$NBDRING" detach "$device"
dmsetup remove --noudevsync over

# An array without metadata, made by hand: the kernel takes the device as soon as it is a part.
modprobe md_mod
modprobe raid1
echo md_over >/sys/module/md_mod/parameters/new_array
array=/sys/block/md_over/md
echo none >"$array/metadata_version"
echo 1 >"$array/raid_disks"
echo raid1 >"$array/level"
cat "/sys/block/${device#/dev/}/dev" >"$array/new_dev"
refused 3 'held by md_over' "$NBDRING" detach "$device"
echo clear >"$array/array_state"
until_true 10 bash -c "[[ -z \$(ls /sys/block/${device#/dev/}/holders) ]]" || fail "the array keeps $device"

# The same device by a name of somebody's own.
mknod "$SCRATCH/own-node" b $(tr : ' ' <"/sys/block/${device#/dev/}/dev")
sleep 60 <"$SCRATCH/own-node" &
sleeper=$!
until_true 5 test -e "/proc/$sleeper/fd/0"
refused 3 "open in process $sleeper \(sleep\)" "$NBDRING" detach "$device"
kill "$sleeper"
wait "$sleeper" || true

# Two partitions: a file system and swap.
python3 - "$device" <<'TABLE'
import sys
number = lambda value: value.to_bytes(4, "little")
entry = lambda kind, start, count: bytes([0, 0, 0, 0, kind, 0, 0, 0]) + number(start) + number(count)
table = bytes(446) + entry(0x83, 2048, 65536) + entry(0x82, 67584, 32768) + bytes(32) + b"\x55\xaa"
with open(sys.argv[1], "r+b") as disk:
    disk.write(table)
TABLE
blockdev --rereadpt "$device"
until_true 10 test -b "${device}p2" || fail "no partitions"
mkfs.ext4 -q "${device}p1"
mkdir -p mnt
mount "${device}p1" mnt
refused 3 "nbd0p1 mounted on $SCRATCH/mnt" "$NBDRING" detach "$device"
umount mnt
mkswap -q "${device}p2"
swapon "${device}p2"
refused 3 'nbd0p2 swap' "$NBDRING" detach "$device"
swapoff "${device}p2"

detach "$device"
is "leftovers" "$(leftovers)" ""
