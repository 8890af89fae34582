#!/bin/bash
# A remote served by qemu-nbd: raw and qcow2, one connection and four, read-only, a snapshot; holes
# stay holes on their way through ours.

source "$(dirname "$0")/remote-servers-lib.sh"
requires fio qemu-nbd qemu-img qemu-io

# start_qemu ARGS…: at $remote
start_qemu() {
  rm -f "$peer"
  start_peer qemu-nbd --persistent --socket="$peer" "$@"
  wait_for_peer "qemu-nbd $*"
}

# It writes what it has in its cache when it is asked to end.
end_qemu() {
  kill -TERM "$peer_pid"
  wait_until 20 has_ended "$peer_pid" || fail "qemu-nbd does not end"
  peer_pid=''
}

truncate -s 8M "$work/image"
start_qemu --format=raw "$work/image"
expect_told "$remote" 8388608 +flush +fua +trim +write-zeroes +df
start_serve "$remote"
exercise "$uri" # one client is all it takes at a time
verify
nbdcopy "$uri" "$work/back"
stop_serve
expect_quiet_log
end_qemu
cmp "$work/image" "$work/back" || fail "the file has other bytes"

start_qemu --format=raw --shared=4 --read-only "$work/image"
expect_told "$remote" 8388608 +read-only +multi-conn
start_serve "$remote"
nbdcopy "$uri" "$work/back2"
cmp "$work/image" "$work/back2" || fail "other bytes of a read-only export"
expect_errno 'EPERM pwrite 4096 0' 'EPERM trim 4096 0' 'EPERM zero 4096 0'
stop_serve
end_qemu
pass "raw"

# ---- qcow2

for shared in 1 4; do
  qemu-img create -q -f qcow2 "$work/image.qcow2" 8M
  start_qemu --format=qcow2 --shared=$shared "$work/image.qcow2"
  expect_told "$remote" 8388608 +flush +write-zeroes
  start_serve "$remote"
  exercise "$uri"
  verify
  qemu-io -f raw -c 'write -P 66 3M 300k' -c 'write -z 3100k 64k' -c flush "$uri" >"$work/io"
  qemu-io -f raw -r -c 'read -P 66 3M 28k' -c 'read -P 0 3100k 64k' "$uri" >>"$work/io"
  if grep -q 'Pattern verification failed' "$work/io"; then fail "$(cat "$work/io")"; fi
  nbdcopy "$uri" "$work/back"
  stop_serve
  expect_quiet_log
  end_qemu
  qemu-img check -q "$work/image.qcow2"
  qemu-img compare -q -f raw -F qcow2 "$work/back" "$work/image.qcow2"
done
pass "qcow2"

# ---- a snapshot: writes are seen through ours and never reach the image

before=$(sha "$work/image")
start_qemu --format=raw --snapshot "$work/image"
start_serve "$remote"
exercise "$uri"
nbdcopy "$uri" "$work/back"
stop_serve
end_qemu
expect_equal "the image below a snapshot" "$(sha "$work/image")" "$before"
if cmp -s "$work/image" "$work/back"; then fail "nothing was written to the snapshot"; fi
pass "a snapshot"

# ---- holes

rm "$work/image.qcow2"
qemu-img create -q -f qcow2 "$work/image.qcow2" 64M
qemu-io -f qcow2 -c 'write -P 5 16M 1M' -c 'write -z 40M 1M' "$work/image.qcow2" >/dev/null
map_of() {
  qemu-img map --output=json "${@:2}" "$1" | "$python" -c 'import json, sys
print([(e["start"], e["length"], e["data"], e["zero"]) for e in json.load(sys.stdin)])'
}
start_qemu --format=qcow2 --shared=4 "$work/image.qcow2"
theirs=$(map_of "$remote" -f raw)
start_serve "$remote"
expect_equal 'the map' "$(map_of "$uri" -f raw)" "$theirs"
truncate -s 64M "$work/sparse"
nbdcopy "$uri" "$work/sparse"
qemu-img convert -f raw -O raw "$uri" "$work/sparse2"
for copy in sparse sparse2; do
  # qemu-img may fill the first block, to find out how to align.
  (($(bytes_allocated "$work/$copy") < 2 << 20)) || fail "$copy has no holes"
done
cmp "$work/sparse" "$work/sparse2" || fail "nbdcopy and qemu-img read different bytes"
stop_serve
expect_quiet_log
end_qemu
# And the other way: only the data arrives.
rm "$work/image.qcow2"
qemu-img create -q -f qcow2 "$work/image.qcow2" 64M
start_qemu --format=qcow2 --shared=4 "$work/image.qcow2"
start_serve "$remote"
nbdcopy --destination-is-zero "$work/sparse" "$uri"
stop_serve
end_qemu
qemu-img compare -q -f raw -F qcow2 "$work/sparse" "$work/image.qcow2"
(($(bytes_allocated "$work/image.qcow2") < 3 << 20)) || fail "holes became data"
pass "holes stay holes"
