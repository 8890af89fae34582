#!/bin/bash
# The whole way, over one connection and four: mkfs.ext4, mount, fio with crc32c verification (4 KiB
# to 1 MiB, direct and buffered, depth 1 to 64), umount, detach; then the image, by itself, has every
# byte.
# vm-timeout: 900
source "$(dirname "$0")/device-functions.sh"

cd "$SCRATCH"

# fio_verifies NAME OPTIONS…
fio_verifies() {
  local name=$1
  shift
  fio --name="$name" --verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=5 "$@" >fio.log 2>&1 ||
    fail "fio $name: $(tail -n 30 fio.log)"
}

on_the_device() {
  fio_verifies raw-depth-1 --filename="$device" --direct=1 --ioengine=psync --rw=randwrite --bs=4k --size=1M
  fio_verifies raw-depth-64 --filename="$device" --direct=1 --ioengine=libaio --iodepth=64 --rw=randwrite \
    --bsrange=4k-1M --size=48M
}

# Files that fio leaves behind: their sums are compared after detaching.
on_the_file_system() {
  fio_verifies direct --directory=mnt --direct=1 --ioengine=io_uring --iodepth=32 --rw=randwrite \
    --bsrange=4k-256k --size=12M --numjobs=2
  fio_verifies buffered --directory=mnt --direct=0 --ioengine=psync --rw=randwrite --bsrange=4k-1M --size=16M \
    --fsync=16 --invalidate=1
}

session() {
  local image=image-$1
  truncate -s 192M "$image"
  attach -c "$1" "$image"
  is size "$(blockdev --getsize64 "$device")" 201326592
  on_the_device
  mkfs.ext4 -q "$device"
  mount "$device" mnt
  on_the_file_system
  cp -r /usr/share/common-licenses mnt/
  (cd mnt && find . -type f -exec sha256sum {} +) >sums
  umount mnt
  is 'read errors' "$(counted read errors)" 0
  is 'write errors' "$(counted write errors)" 0
  (($(counted flush requests) > 0)) || fail "no FLUSH came"
  detach "$device"

  e2fsck -fn "$image" >e2fsck.log 2>&1 || fail "$(cat e2fsck.log)"
  mount -o loop,ro "$image" mnt
  (cd mnt && sha256sum --check --quiet ../sums) || fail "the image differs from what was written"
  umount mnt

  # And through the driver again, with the caches cold.
  attach -r -c "$1" "$image"
  mount -o ro "$device" mnt
  (cd mnt && sha256sum --check --quiet ../sums) || fail "reading back over $1 connections differs"
  umount mnt
  detach "$device"
  rm "$image"
}

modprobe loop
mkdir mnt
for connections in 1 4; do
  session "$connections"
  echo "$connections connections: verified"
done
echo "ok: fio on the device and in ext4, byte for byte in the image"
