#!/bin/bash
# nbdinfo sees the size, the flags, the block size constraints, the name and the holes.

source "$(dirname "$0")/lib.sh"
requires nbdinfo

json_value() { "$python" -c "import json,sys; print(json.load(sys.stdin)$1)"; }

check_export() {
  local what json
  expect_equal "$backend size" "$(nbdinfo --size "$uri")" 67108864
  for what in cache connect fua flush multi-conn trim zero write; do
    [[ $what == cache ]] || nbdinfo --can "$what" "$uri" || fail "$backend cannot $what"
  done
  ! nbdinfo --is read-only "$uri" || fail "$backend is read-only"
  ! nbdinfo --is rotational "$uri" || fail "$backend is rotational"

  json=$(nbdinfo --json "$uri")
  expect_equal protocol "$(json_value "['protocol']" <<<"$json")" newstyle-fixed
  expect_equal structured "$(json_value "['structured']" <<<"$json")" True
  expect_equal contexts "$(json_value "['exports'][0]['contexts']" <<<"$json")" "['base:allocation']"
  expect_equal preferred "$(json_value "['exports'][0]['block_size_preferred']" <<<"$json")" 4096
  expect_equal list "$(nbdinfo --list --json "$uri" | json_value "['exports'][0]['export-size']")" 67108864
}

on_each_backend 64M check_export

start_serve memory:1M --export-name 'disk of ünal'
expect_equal name "$(nbdinfo --list --json "$uri" | json_value "['exports'][0]['export-name']")" 'disk of ünal'
expect_equal 'size by name' "$(nbdinfo --size "nbd+unix:///disk%20of%20%C3%BCnal?socket=$socket")" 1048576
if nbdinfo "nbd+unix:///other?socket=$socket" >"$work/out" 2>&1; then fail "an unknown name was served"; fi
stop_serve

# data: 1 MiB at 0 and 64 KiB at 32 MiB; the rest is a hole.
truncate -s 64M "$work/image"
head -c 1M /dev/urandom | dd of="$work/image" conv=notrunc status=none
head -c 64K /dev/urandom | dd of="$work/image" bs=64K seek=512 conv=notrunc status=none
wanted='0 1048576 0 data
1048576 32505856 3 hole,zero
33554432 65536 0 data
33619968 33488896 3 hole,zero'
for cache in writeback none; do
  start_serve "file:$work/image?cache=$cache"
  expect_equal "map, cache=$cache" "$(nbdinfo --map "$uri" | tr -s ' ' | sed 's/^ //; s/ $//')" "$wanted"
  stop_serve
done
pass "nbdinfo: size, flags, names, holes"
