#!/bin/bash
# A file that is served for writing is not served twice; readers share it; the lock ends with its
# owner, however that ends.

source "$(dirname "$0")/lib.sh"
requires nbdinfo

truncate -s 1M "$work/image"

start_serve "$work/image"
expect_refused 3 "$work/image" "$NBDRING" serve "$work/image" --unix "$work/second"
expect_refused 3 "$work/image" "$NBDRING" serve "$work/image" -r --unix "$work/second"
end_process "$serve_pid" # even killed
start_serve "$work/image" --read-only
expect_refused 3 "$work/image" "$NBDRING" serve "$work/image" --unix "$work/second"

"$NBDRING" serve "$work/image" --read-only --unix "$work/second" >"$work/second.log" 2>&1 &
second_pid=$!
at_exit+=("end_process $second_pid")
wait_until 20 is_listening "$work/second" || fail "two readers cannot share"
expect_equal 'second reader' "$(nbdinfo --size "nbd+unix:///?socket=$work/second")" 1048576
stop_serve
pass "one writer, or many readers"
