#!/bin/bash
# Servers that lack something, and servers that refuse: nbdkit's filters take away FUA, zeroing, many
# connections and extents, delay requests, and fail them. What lacks is made up for; an error is an
# answer: it arrives as it is, is asked for once, and costs no connection.

source "$(dirname "$0")/remote-servers-lib.sh"
requires fio

# bare NAME FLAGS NBDKIT-ARGS…: FLAGS are what info must (not) tell
bare() {
  local name=$1 flags=$2
  shift 2
  start_nbdkit "$@"
  expect_told "$remote" 8388608 $flags
  forward
  stop_peer
  echo "ok: $name"
}

bare 'without FUA' -fua --filter=fua memory 8M
bare 'FUA by flush' +fua --filter=fua memory 8M fuamode=emulate
bare 'FUA itself' +fua --filter=fua memory 8M fuamode=native
bare 'without zeroing' -write-zeroes --filter=nozero memory 8M
bare 'zeroing by writes' +write-zeroes --filter=nozero memory 8M zeromode=emulate
bare 'zeroing without holes' +write-zeroes --filter=nozero memory 8M zeromode=notrim
bare 'never fast' '+write-zeroes +fast-zero' --filter=nozero memory 8M zeromode=plugin fastzeromode=slow
bare 'one connection' -multi-conn --filter=multi-conn memory 8M multi-conn-mode=disable
bare 'many emulated' +multi-conn --filter=multi-conn memory 8M multi-conn-mode=emulate
bare 'one at a time' +flush --filter=noparallel memory 8M serialize=requests
bare 'delayed' +flush --filter=delay memory 8M rdelay=3ms wdelay=3ms
start_nbdkit --filter=noparallel memory 8M serialize=connections
expect_told "$remote" 8388608 -multi-conn
start_serve "$remote"
exercise "$uri" # there is no second connection to look by
stop_serve
stop_peer
truncate -s 4M "$work/half"
start_nbdkit split "$work/half" # the plugin can read and write
expect_told "$remote" 4194304 -flush -fua -trim -multi-conn
start_serve "$remote"
exercise
verify
stop_serve
expect_equal 'lines in the log' "$(wc -l <"$serve_log")" 1
grep -q 'the server has no FLUSH' "$serve_log" || fail "logged: $(cat "$serve_log")"
stop_peer
pass "what a server lacks is made up for"

# ---- FUA and FLUSH as the server sees them

# seen_for ARGS…: $work/seen-at-once is what has reached the plugin when one write with FUA is answered
seen_for() {
  start_nbdkit --filter=fua --filter=log memory 8M logfile="$work/seen" "$@"
  start_serve "$remote"
  "$python" -c "import sys, nbd; h = nbd.NBD(); h.connect_uri(sys.argv[1])
h.pwrite(bytes(4096), 0, nbd.CMD_FLAG_FUA)" "$uri"
  cp "$work/seen" "$work/seen-at-once"
  stop_serve
  stop_peer
}
seen_for fuamode=native
grep -q 'Write .*fua=1' "$work/seen-at-once" || fail "no FUA at the server: $(cat "$work/seen")"
for mode in fuamode=emulate ''; do # without a mode: no FUA
  seen_for $mode
  grep -A9 'Write .*fua=0' "$work/seen-at-once" | grep -q Flush || fail "no flush: $(cat "$work/seen")"
done
pass "a write with FUA is on the disk when it is answered"

# ---- extents

truncate -s 0 "$work/image"
truncate -s 8M "$work/image"
dd if=/dev/urandom of="$work/image" bs=64k count=4 seek=16 conv=notrunc status=none
bytes_of_data() {
  nbdinfo --map --json "$1" | "$python" -c 'import json, sys
print(sum(e["length"] for e in json.load(sys.stdin) if e["type"] == 0))'
}
start_nbdkit file "$work/image"
start_serve "$remote"
expect_equal 'bytes of data' "$(bytes_of_data "$uri")" 262144
stop_serve
stop_peer
start_nbdkit --filter=noextents file "$work/image"
start_serve "$remote"
expect_equal 'bytes of data without extents' "$(bytes_of_data "$uri")" 8388608
stop_serve
stop_peer
pass "extents as the server tells them"

# ---- errors

# asked PATTERN: how many such lines the server has logged since $lines_before
asked() { tail -n "+$((lines_before + 1))" "$work/seen" | grep -cE -- "$1" || true; }

fails=$work/fails
start_nbdkit --filter=log --filter=error memory 8M logfile="$work/seen" error-file="$fails" \
  error-rate=100% error-pread=EIO error-pwrite=ENOSPC error-zero=EPERM error-trim=EINVAL
start_serve "$remote"
exercise
touch "$fails"
lines_before=$(wc -l <"$work/seen")
expect_errno 'EIO pread 4096 0' 'ENOSPC pwrite 4096 0' 'EPERM zero 4096 0' 'EINVAL trim 4096 0'
for kind in Read Write Zero Trim; do expect_equal "times that $kind was asked" "$(asked " $kind id=")" 1; done
expect_equal "connections" "$(asked ' Connect ')" 1 # the client's, who has one of its own
rm "$fails"
exercise
verify
stop_serve
expect_quiet_log
stop_peer
for name in EPERM EIO ENOMEM EINVAL ENOSPC; do
  start_nbdkit --filter=error memory 8M error=$name error-rate=100%
  start_serve "$remote"
  expect_errno "$name pread 4096 0" "$name pread 1048576 4096" "$name pwrite 4096 8192"
  stop_serve
  stop_peer
done
pass "errors are answers"

# ---- a server that ends with its last client

start_nbdkit --filter=exitlast file "$work/image"
start_serve "$remote"
sleep 1 # ours is its only client, and nobody asks ours
exercise
wait_until 10 has_ended "$peer_pid" || fail "the server has a client still"
peer_pid=''
stop_serve
expect_quiet_log
pass "exitlast: ours is a client until its first client comes, and then as long as it has one"
