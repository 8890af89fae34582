#!/bin/bash
# A remote served by nbdkit: its plugins for files, memory and a pattern, several exports, read-only,
# simple replies, handshakes of every age.

source "$(dirname "$0")/remote-servers-lib.sh"
requires fio
truncate -s 8M "$work/image"

start_nbdkit file "$work/image"
expect_told "$remote" 8388608 +flush +fua +trim +write-zeroes +multi-conn -read-only
forward
nbdcopy "$remote" "$work/back"
cmp "$work/image" "$work/back" || fail "the file has other bytes"
stop_peer
pass "file"

start_nbdkit memory 8M
forward
stop_peer
pass "memory"

start_nbdkit --no-sr memory 8M
expect_told "$remote" 8388608 -df
"$NBDRING" info "$remote" | grep -q '^replies  *simple$' || fail "no word of simple replies"
forward
stop_peer
pass "simple replies"

# ---- what cannot be written

# Big-endian 64-bit offsets: every word is where it belongs.
start_nbdkit pattern $((5 * 1024 * 1024 + 4096))
expect_told "$remote" 5246976 +read-only +multi-conn
start_serve "$remote"
nbdcopy "$uri" "$work/back"
"$python" - "$work/back" <<'END'
import struct, sys
data = open(sys.argv[1], "rb").read()
assert len(data) == 5246976
assert all(word == (n * 8,) for n, word in enumerate(struct.iter_unpack(">Q", data)))
END
expect_errno 'EPERM pwrite 512 0'
stop_serve
expect_quiet_log
stop_peer

start_nbdkit -r file "$work/image"
expect_told "$remote" 8388608 +read-only
start_serve "$remote"
nbdcopy "$uri" "$work/back"
cmp "$work/image" "$work/back" || fail "other bytes of a read-only export"
expect_errno 'EPERM pwrite 4096 0' 'EPERM trim 4096 0' 'EPERM zero 4096 0'
cmp "$work/image" "$work/back" || fail "a read-only export was written"
stop_serve
stop_peer
pass "pattern and read-only"

# ---- several exports

mkdir "$work/dir"
for name in one 'two halves' drei; do head -c 300K /dev/urandom >"$work/dir/$name"; done
start_nbdkit file dir="$work/dir"
"$NBDRING" info --list --json "$remote" >"$work/list.json"
"$python" - "$work/list.json" <<'END'
import json, sys
names = sorted(e["name"] for e in json.load(open(sys.argv[1]))["exports"])
assert names == ["drei", "one", "two halves"], names
END
for name in one 'two halves' drei; do
  expect_reads "nbd+unix:///${name// /%20}?socket=$peer" "$work/dir/$name"
done
expect_refused 4 "no export named 'vier'" "$NBDRING" serve "nbd+unix:///vier?socket=$peer" \
  --unix "$work/other"
stop_peer
pass "several exports"

# ---- old handshakes

start_nbdkit --mask-handshake=0 memory 8M
expect_told "$remote" 8388608 +flush
forward
stop_peer
start_nbdkit --mask-handshake=2 memory 8M
forward
stop_peer
pass "newstyle that is not fixed: the export's name is all there is"

start_nbdkit -o memory 8M
expect_refused 5 "speaks the oldstyle handshake" "$NBDRING" serve "$remote" --unix "$work/other"
expect_refused 5 "speaks the oldstyle handshake" "$NBDRING" info "$remote"
stop_peer
pass "oldstyle is refused"
