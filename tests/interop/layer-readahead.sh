#!/bin/bash
# readahead: over a server that takes 10 ms for each read, reading from one end to the other is
# several times as fast as without, and gives the same bytes as through nbdkit's filter.

source "$(dirname "$0")/lib.sh"
requires nbdkit nbdcopy fio

image=$work/image
head -c 4M /dev/urandom >"$image"
wanted=$(sha "$image")
backing=$work/backing.sock
nbdkit -f -U "$backing" --filter=delay file "$image" rdelay=10ms &
nbdkit_pid=$!
at_exit+=("end_process $nbdkit_pid")
wait_until 20 is_listening "$backing" || fail "nbdkit does not listen"
remote="nbd+unix:///?socket=$backing"

# One request at a time, 64 KiB each: sets milliseconds.
read_in_order() {
  local begin=$(($(date +%s%N) / 1000000))
  nbdcopy --connections=1 --requests=1 --request-size=65536 "$uri" "$work/copy"
  milliseconds=$(($(date +%s%N) / 1000000 - begin))
  expect_equal "$1" "$(sha "$work/copy")" "$wanted"
}

start_serve "$remote"
read_in_order without
without=$milliseconds
stop_serve
start_serve "$remote" --layer readahead
read_in_order with
stop_serve
((milliseconds * 2 < without)) || fail "$milliseconds ms with, $without ms without"
pass "64 reads of 64 KiB: $without ms without, $milliseconds ms with"

theirs=$(nbdkit -U - --filter=readahead file "$image" --run 'nbdcopy "$uri" - | sha256sum')
start_serve "$remote" --layer readahead=4M
expect_equal "beside nbdkit's" "$(nbdcopy "$uri" - | sha256sum)" "$theirs"
fio --name=ahead --ioengine=nbd --uri="$uri" --rw=rw --bs=16k --size=2M --iodepth=8 \
  --verify=crc32c --verify_state_save=0 --output="$work/fio.log" || fail "fio: $(cat "$work/fio.log")"
stop_serve
pass "fio verifies"
expect_refused 2 "must be a multiple of 256K" \
  "$NBDRING" serve "$image" --layer readahead=100K --unix "$work/none"
