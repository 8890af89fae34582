#!/bin/bash
# A sparse image that is copied in and out stays sparse on both sides, and reading makes no data of
# holes.

source "$(dirname "$0")/lib.sh"
requires nbdcopy nbdinfo qemu-img

truncate -s 128M "$work/source"
for at in 0 30 63 100; do
  head -c 1M /dev/urandom | dd of="$work/source" bs=1M seek=$at conv=notrunc status=none
done
wanted=$(sha "$work/source")
sync -d "$work/source"
limit=$((8 * 1024 * 1024)) # 4 MiB are data

expect_sparse() {
  (($(bytes_allocated "$1") <= limit)) || fail "$2 occupies $(bytes_allocated "$1") bytes"
}

for cache in writeback none; do
  start_backend "$cache" 128M
  nbdcopy --connections=4 --destination-is-zero "$work/source" "$uri"
  sync -d "$image"
  expect_sparse "$image" "cache=$cache: the served image"
  expect_equal "cache=$cache content" "$(sha "$image")" "$wanted"

  rm -f "$work/back"
  nbdcopy --connections=4 "$uri" "$work/back"
  expect_sparse "$work/back" "cache=$cache: what nbdcopy read"
  expect_equal "cache=$cache, read back" "$(sha "$work/back")" "$wanted"
  expect_sparse "$image" "cache=$cache: the served image, after it was read"

  # Zeroes over data give the space back (nbdcopy sends WRITE_ZEROES for the holes of its source).
  head -c 30M /dev/urandom | dd of="$image" bs=1M seek=65 conv=notrunc status=none
  nbdcopy --connections=4 "$work/source" "$uri"
  sync -d "$image"
  expect_sparse "$image" "cache=$cache: the served image, zeroed"
  expect_equal "cache=$cache, zeroed" "$(sha "$image")" "$wanted"
  stop_serve
done
pass "sparse images stay sparse"
