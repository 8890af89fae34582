#!/bin/bash
# What attach makes of the driver's device: its number, its queue, its size, its mode.
# vm-timeout: 600
set -euo pipefail
source "$(dirname "$0")/kernel-functions.sh"

cd "$SCRATCH"

connections_and_settings() {
  local connections
  for connections in 1 4; do
    truncate --size 64M image
    attach --connections "$connections" image
    is "device with $connections connections" "$device" /dev/nbd0
    is "size" "$(blockdev --getsize64 "$device")" 67108864
    is "scheduler" "$(queue scheduler)" none
    is "max_sectors_kb" "$(queue max_sectors_kb)" 1024
    is "read_ahead_kb" "$(queue read_ahead_kb)" 1024
    is "write_cache" "$(queue write_cache)" "write back"
    is "fua" "$(queue fua)" 1
    is "hardware queues" "$(ls "/sys/block/nbd0/mq" | wc -l)" "$((connections < $(nproc) ? connections : $(nproc)))"
    is "receivers" "$(cat /proc/[0-9]*/comm 2>/dev/null | grep -c '+nbd0-recv$')" "$connections"
    is "backend" "$(cat /sys/block/nbd0/backend)" "file:$SCRATCH/image"
    dd if=/dev/urandom of="$device" bs=1M count=8 conv=fsync status=none
    cmp -n 8388608 "$device" image
    detach "$device"
    is "leftovers" "$(leftovers)" ""
  done
}

numbers() {
  truncate --size 1M a b
  attach a /dev/nbd7
  is "device" "$device" /dev/nbd7
  refused 3 '/dev/nbd7 is attached already.*file:.*/a' "$NBDRING" attach b /dev/nbd7
  attach b
  is "free device" "$device" /dev/nbd0
  attach a
  is "attached again by id" "$device" /dev/nbd7
  refused 4 'devices 0 to [0-9]+' "$NBDRING" attach memory:1M 4000000
  detach /dev/nbd7
  detach /dev/nbd0
  is "leftovers" "$(leftovers)" ""
}

# Who merely looks for a moment must not make attach fail.
opened_by_others() {
  nbd_dummy_index=3
  attach memory:1M "$nbd_dummy_index"
  sleep 60 <"$device" &
  local holder=$!
  refused 3 "open in process $holder .sleep." "$NBDRING" detach "$device"
  kill "$holder" && wait "$holder" || true
  detach "$device"
}

read_only() {
  truncate --size 4M ro
  attach --read-only ro
  is "ro" "$(cat "/sys/block/${device#/dev/}/ro")" 1
  refused 1 'Operation not permitted|Read-only file system|not permitted' \
    dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct conv=notrunc
  detach "$device"
}

# SIZE BLOCK_SIZE SECTORS: what of the size can be reached.
size_case() {
  rm -f sized && truncate --size "$1" sized
  attach --block-size "$2" sized
  is "sectors of $1 bytes in blocks of $2" "$(sectors)" "$3"
  is "logical block size" "$(queue logical_block_size)" "$2"
  # The last block, written and read.
  local last=$(($3 * 512 / $2 - 1))
  head -c "$2" /dev/urandom >block
  dd if=block of="$device" bs="$2" seek="$last" oflag=direct conv=notrunc status=none
  dd if="$device" bs="$2" skip="$last" count=1 iflag=direct status=none | cmp - block
  dd if=sized bs="$2" skip="$last" count=1 status=none | cmp - block
  detach "$device"
  is "size of the file afterwards" "$(stat -c %s sized)" "$(numfmt --from=iec "$1")"
}

sizes() {
  size_case 512 512 1
  size_case 5000 512 9
  size_case 5000 4096 8
  size_case $((4 * 1024 * 1024 * 1024 + 512)) 512 8388609
  size_case 1T 512 2147483648
  size_case 1T 4096 2147483648
  truncate --size 100 small
  refused 1 '100 bytes: a device needs one block' "$NBDRING" attach small
  is "leftovers" "$(leftovers)" ""
}

# Two Linux partitions of 8192 sectors: at 2048 and at 10240.
write_partition_table() {
  python3 - "$1" <<'END'
import struct, sys
entry = lambda start: struct.pack("<B3sB3sII", 0, b"\0\2\0", 0x83, b"\0\2\0", start, 8192)
with open(sys.argv[1], "r+b") as disk:
    disk.seek(446)
    disk.write(entry(2048) + entry(10240) + bytes(32) + b"\x55\xaa")
END
}

partitions() {
  truncate --size 64M disk
  write_partition_table disk
  attach disk
  [[ -b ${device}p1 && -b ${device}p2 ]] || fail "no partitions right after attach"
  is "size of the second partition" "$(blockdev --getsize64 "${device}p2")" 4194304
  mkfs.ext4 -q "${device}p2"
  mkdir -p mnt && mount "${device}p2" mnt
  refused 3 "nbd${number}p2 mounted on $SCRATCH/mnt" "$NBDRING" detach "$device"
  umount mnt
  detach "$device"
  is "leftovers" "$(leftovers)" ""
}

connections_and_settings
numbers
opened_by_others
read_only
sizes
partitions
