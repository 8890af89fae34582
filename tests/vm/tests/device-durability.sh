#!/bin/bash
# What fsync on the device promises is true on the disk below: after it, the image has no dirty page,
# and the image's file system has seen a sync of it for each one (the kernel's own trace says so).
# check-kernel: 6.12
source "$(dirname "$0")/device-functions.sh"

cd "$SCRATCH"

truncate -s 64M image
inode=$(stat -c %i image)
tracing=/sys/kernel/tracing
[[ -d $tracing/events/ext4/ext4_sync_file_enter ]] || fail "no tracing here"
echo "ino == $inode" >"$tracing/events/ext4/ext4_sync_file_enter/filter"
echo 1 >"$tracing/events/ext4/ext4_sync_file_enter/enable"
syncs() { grep -c "ext4_sync_file_enter" "$tracing/trace" || true; }

for cache in writeback none; do
  attach "file:image?cache=$cache"
  echo >"$tracing/trace"
  dd if=/dev/urandom of="$device" bs=1M count=8 oflag=direct status=none
  is "cache=$cache: syncs of mere writes" "$(syncs)" 0
  for n in 1 2 3; do
    dd if=/dev/urandom of="$device" bs=64k count=1 seek="$n" oflag=direct conv=fsync,notrunc status=none
  done
  (($(syncs) >= 3)) || fail "cache=$cache: three fsyncs of the device became $(syncs) of the image"

  # FUA: ext4's journal commits with it, or with FLUSH; either way a commit reaches the image.
  mkfs.ext4 -q "$device"
  mkdir -p mnt
  mount "$device" mnt
  echo >"$tracing/trace"
  echo data >mnt/file
  sync mnt/file
  (($(syncs) >= 1)) || fail "cache=$cache: fsync of a file on the device did not sync the image"
  umount mnt
  detach "$device"
done
echo "ok: fsync on the device syncs the image"
