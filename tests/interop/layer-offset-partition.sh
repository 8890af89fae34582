#!/bin/bash
# offset and partition: the same bytes as nbdkit's filters of these names show, written and read.

source "$(dirname "$0")/lib.sh"
requires nbdkit nbdcopy nbdinfo

# expect_same LAYER FILTERS…: what we show of $image is what nbdkit shows of it.
expect_same() {
  local layer=$1 ours theirs
  shift
  start_serve "$image" -r --layer "$layer"
  ours=$(nbdcopy "$uri" - | sha256sum)
  stop_serve
  theirs=$(nbdkit -r -U - "$@" --run 'nbdcopy "$uri" - | sha256sum')
  expect_equal "$layer" "$ours" "$theirs"
}

image=$work/image
head -c 3M /dev/urandom >"$image"
expect_same offset=1000,size=5000 --filter=offset file "$image" offset=1000 range=5000
expect_same offset=1M --filter=offset file "$image" offset=1M
expect_same offset=3145727 --filter=offset file "$image" offset=3145727

# Written through the layer: nothing outside is touched.
head -c 1M /dev/urandom >"$work/part"
cp "$image" "$work/wanted"
dd if="$work/part" of="$work/wanted" bs=1M seek=1 conv=notrunc status=none
for cache in writeback none; do
  start_serve "file:$image?cache=$cache" --layer offset=1M,size=1M
  nbdcopy --flush "$work/part" "$uri"
  stop_serve
  cmp "$image" "$work/wanted"
done
pass "offset"

# Tables made by nbdkit: with more than four partitions an MBR has logical ones.
for size in 1 2 3 4 5 6; do head -c $((size * 100))k /dev/urandom >"$work/p$size"; done
parts=("$work"/p[1-6])
for type in mbr gpt; do
  nbdkit -U - partitioning "${parts[@]}" partition-type="$type" --run "nbdcopy \"\$uri\" $work/disk"
  image=$work/disk
  numbers=(1 2 3 4 5 6)
  [[ $type == gpt ]] || numbers=(1 2 3 5 6 7)
  for i in "${!numbers[@]}"; do
    number=${numbers[i]}
    start_serve "$image" -r --layer "partition=$number"
    expect_equal "$type $number" "$(nbdcopy "$uri" - | sha256sum)" "$(sha256sum <"${parts[i]}")"
    stop_serve
    # nbdkit's own filter cannot tell the logical ones that lie behind one another everywhere.
    [[ $type == mbr && $number -gt 4 ]] ||
      expect_same "partition=$number" --filter=partition file "$image" partition="$number"
  done
done
expect_refused 2 "there is no partition 9: the GPT has 1 (102400 bytes at" \
  "$NBDRING" serve "$image" --layer partition=9 --unix "$work/none"
expect_refused 1 "no partition table" "$NBDRING" serve "$work/p1" --layer partition=1 --unix "$work/none"
printf '\xff' | dd of="$image" bs=1 seek=1030 conv=notrunc status=none # in the first entry
start_serve "$image" --layer partition=1
expect_equal 'by the copy' "$(nbdcopy "$uri" - | sha256sum)" "$(sha256sum <"${parts[0]}")"
stop_serve
grep -q 'the GPT is damaged' "$serve_log"

# Two layers in both orders: 4096 bytes of the partition, and no partition in 4096 bytes of the disk.
start_serve "$image" -r --layer offset=4K,size=8K --layer partition=2
expect_equal 'part of a partition' "$(nbdcopy "$uri" - | sha256sum)" \
  "$(dd if="${parts[1]}" bs=4K skip=1 count=2 status=none | sha256sum)"
stop_serve
expect_refused 1 "no partition table" \
  "$NBDRING" serve "$image" --layer partition=2 --layer offset=4K,size=8K --unix "$work/none"
pass "partition"
