#!/bin/bash
# cache: the same bytes as through nbdkit's filter of this name; what was read is not asked for
# again (counted by nbdkit's log filter behind it); what is written is below when it is answered.

source "$(dirname "$0")/lib.sh"
requires nbdkit nbdcopy qemu-io fio

image=$work/image
head -c 20000256 /dev/urandom >"$image"
wanted=$(sha "$image")
backing=$work/backing.sock
nbdkit -f -U "$backing" --filter=log file "$image" logfile="$work/log" &
nbdkit_pid=$!
at_exit+=("end_process $nbdkit_pid")
wait_until 20 is_listening "$backing" || fail "nbdkit does not listen"
remote="nbd+unix:///?socket=$backing"
reads_below() { grep -c ' Read .*offset=' "$work/log" || true; }
sum_of() { nbdcopy "$1" - | sha256sum | cut -d ' ' -f 1; }

start_serve "$remote" --layer "cache=$work/cache,size=32M"
[[ ! -e $work/cache ]] || fail "the cache's file has a name"
expect_equal "first" "$(sum_of "$uri")" "$wanted"
first=$(reads_below)
((first > 0)) || fail "nbdkit's log has no reads: $(head -3 "$work/log")"
expect_equal "again" "$(sum_of "$uri")" "$wanted"
expect_equal "reads below, again" "$(reads_below)" "$first"
pass "what was read is not asked for again ($first reads below)"

# Written through: the image has it when it is answered, and so has the cache.
qemu-io -f raw "$uri" -c 'write -P 0x77 65000 200000' -c 'write -z 1M 100k' >/dev/null
expect_equal "the image" "$(sha "$image")" "$(sum_of "$uri")"
theirs=$(nbdkit -U - --filter=cache file "$image" cache=writethrough \
  --run 'nbdcopy "$uri" - | sha256sum' | cut -d ' ' -f 1)
expect_equal "beside nbdkit's" "$(sum_of "$uri")" "$theirs"
stop_serve
expect_quiet_log

# A cache that is much too small, under load.
start_serve "$remote" --layer cache=size=1M
fio --name=cache --ioengine=nbd --uri="$uri" --rw=randrw --bs=4k --size=16M --io_size=16M \
  --iodepth=16 --verify=crc32c --verify_state_save=0 --output="$work/fio.log" || fail "fio: $(cat "$work/fio.log")"
expect_equal "small" "$(sum_of "$uri")" "$(sha "$image")"
stop_serve
pass "fio verifies over a small cache"

expect_refused 2 "must be where the backend promises" \
  "$NBDRING" serve "$image" --layer cache=mode=writeback --unix "$work/none"
expect_refused 2 "the size must lie from 1M to 256G" \
  "$NBDRING" serve "$image" --layer cache=size=4K --unix "$work/none"
expect_refused 1 "File exists" \
  "$NBDRING" serve "$image" --layer "cache=$image" --unix "$work/none"
pass "wrong arguments"
