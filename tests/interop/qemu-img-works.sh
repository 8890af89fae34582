#!/bin/bash
# qemu-img compares, converts in both directions and maps.

source "$(dirname "$0")/lib.sh"
requires qemu-img

truncate -s 64M "$work/source"
head -c 9M /dev/urandom | dd of="$work/source" bs=1M seek=5 conv=notrunc status=none
qemu-img convert -f raw -O qcow2 "$work/source" "$work/source.qcow2"

convert_and_compare() {
  qemu-img convert -n -f qcow2 -O raw -W -m 8 "$work/source.qcow2" "$uri"
  qemu-img compare -q -f raw -F raw "$uri" "$work/source" || fail "$backend differs after convert"
  rm -f "$work/back.qcow2"
  qemu-img convert -f raw -O qcow2 "$uri" "$work/back.qcow2"
  qemu-img compare -q -f qcow2 -F raw "$work/back.qcow2" "$work/source" || fail "$backend, read back"
  expect_equal "$backend size" "$(qemu-img info --output=json "$uri" |
    "$python" -c 'import json,sys; print(json.load(sys.stdin)["virtual-size"])')" 67108864
}

on_each_backend 64M convert_and_compare

start_serve "file:$work/source"
expect_equal map "$(qemu-img map --output=json -f raw "$uri" | "$python" -c '
import json, sys
print([(e["start"], e["length"], e["data"]) for e in json.load(sys.stdin)])')" \
  '[(0, 5242880, False), (5242880, 9437184, True), (14680064, 52428800, False)]'
stop_serve
pass "qemu-img: convert, compare, map"
