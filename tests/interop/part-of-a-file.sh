#!/bin/bash
# offset= and size= export a part of the file, and nothing outside of it is ever touched.

source "$(dirname "$0")/lib.sh"
requires nbdcopy nbdinfo

image=$work/image
head -c 3M /dev/urandom >"$image"
head -c 1M /dev/urandom >"$work/part"
cp "$image" "$work/wanted"
dd if="$work/part" of="$work/wanted" bs=1M seek=1 conv=notrunc status=none

for cache in writeback none; do
  start_serve "file:$image?cache=$cache&offset=1048576&size=1048576"
  expect_equal size "$(nbdinfo --size "$uri")" 1048576
  nbdcopy --flush "$work/part" "$uri"
  cmp "$image" "$work/wanted"
  nbdcopy "$uri" - | cmp - "$work/part"
  nbdcopy --destination-is-zero "$work/part" "$uri"
  stop_serve
  cmp "$image" "$work/wanted"
done

start_serve "file:$image?offset=2097152"
expect_equal 'to the end' "$(nbdinfo --size "$uri")" 1048576
nbdcopy "$uri" - | cmp - <(tail -c 1M "$image")
stop_serve
start_serve "file:$image?offset=1000&size=5000"
nbdcopy "$uri" - | cmp - <(tail -c +1001 "$image" | head -c 5000)
expect_equal 'map of an odd part' "$(nbdinfo --map --totals "$uri" | tr -s ' ' | sed 's/^ //')" '5000 100.0% 0 data'
stop_serve

expect_refused 2 4000000 "$NBDRING" serve "file:$image?offset=4000000" --unix "$work/none"
expect_refused 2 3145728 "$NBDRING" serve "file:$image?offset=3145000&size=4096" --unix "$work/none"
expect_refused 2 1000 "$NBDRING" serve "file:$image?cache=none&offset=1000" --unix "$work/none"
pass "offset= and size="
