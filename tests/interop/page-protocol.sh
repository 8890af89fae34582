#!/bin/bash
# The gateway's page serves NBD by itself, in a browser. Its server runs under node as well: here other people's clients
# ask it everything they know, and write to it through its overlay, also across a restart.
source "$(dirname "$0")/lib.sh"
requires node nbdinfo nbdcopy qemu-io

serve_page() {
  local printed=$work/port
  : >"$printed"
  node "$checkout/tests/browser/unit/support/nbd-over-tcp.mjs" "$@" >"$printed" 2>"$serve_log" &
  serve_pid=$!
  wait_until 20 test -s "$printed" || fail "the page's server did not start"
  uri=nbd://127.0.0.1:$(cat "$printed")
}

end_page() {
  end_process "$serve_pid"
  serve_pid=''
}

image=$work/image
head -c 5000000 /dev/urandom >"$image"
truncate -s 50000001 "$image"
original=$(sha "$image")

serve_page "$image"
info=$(nbdinfo "$uri")
for line in 'protocol: newstyle-fixed without TLS, using structured packets' 'export-size: 50000001' \
  'is_read_only: true' 'can_multi_conn: true' 'base:allocation' 'block_size_maximum: 33554432'; do
  grep -qF "$line" <<<"$info" || fail "nbdinfo does not say '$line': $info"
done
nbdinfo --list "$uri" | grep -qF 'export=""' || fail "nbdinfo --list names no export"
pass "nbdinfo: GO, INFO, LIST, structured replies, contexts"

for requests in '--requests=1 --connections=1' '--requests=16 --connections=4' '--request-size=33554432'; do
  # shellcheck disable=SC2086 # several words
  nbdcopy $requests "$uri" "$work/copy"
  expect_equal "nbdcopy $requests" "$(sha "$work/copy")" "$original"
done
pass "nbdcopy reads it whole, one by one and many at once"

qemu-io -r -f raw -c 'read 49999000 1001' -c 'read 0 1' "$uri" >"$work/out" ||
  fail "qemu-io cannot read: $(cat "$work/out")"
if qemu-io -f raw -c 'write 0 512' "$uri" >"$work/out" 2>&1; then fail "a read-only export was written to"; fi
pass "qemu-io reads; it may not write"
end_page

mkdir "$work/overlay"
serve_page "$image" "$work/overlay"
qemu-io -f raw -c 'write -P 17 3 70000' -c 'write -P 18 1M 3M' -c 'write -z 2M 100000' -c 'discard 8M 4M' -c 'flush' \
  -c 'write -f -P 19 49999990 11' -c 'read -P 17 3 70000' -c 'read -P 18 1M 1M' -c 'read -P 0 2M 100000' \
  -c 'read -P 0 8M 4M' -c 'read -P 19 49999990 11' "$uri" >"$work/out"
! grep -qiE 'verification failed|error' "$work/out" || fail "qemu-io read something else: $(cat "$work/out")"
nbdinfo --map "$uri" | grep -q 'hole,zero' || fail "the trimmed part is no hole in base:allocation"
nbdcopy "$uri" "$work/changed"
cp "$image" "$work/model"
printf '%b' "$(printf '\\x11%.0s' {1..70000})" |
  dd of="$work/model" bs=1M seek=3 oflag=seek_bytes conv=notrunc status=none
qemu-io -f raw -c 'write -P 18 1M 3M' -c 'write -z 2M 100000' -c 'write -z 8M 4M' "$work/model" >/dev/null
printf '\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13' |
  dd of="$work/model" bs=11 seek=49999990 oflag=seek_bytes conv=notrunc status=none
expect_equal "the changed image" "$(sha "$work/changed")" "$(sha "$work/model")"
pass "writes, zeroes, trims and FUA by qemu-io"

# Unasked, and in the middle of nothing in particular: what was acknowledged is there.
qemu-io -f raw -c 'write -P 20 20M 1M' "$uri" >/dev/null
end_page
serve_page "$image" "$work/overlay"
qemu-io -r -f raw -c 'read -P 20 20M 1M' -c 'read -P 17 3 70000' "$uri" >"$work/out"
! grep -qiE 'verification failed|error' "$work/out" || fail "lost by a restart: $(cat "$work/out")"
head -c 50000001 /dev/urandom >"$work/fresh"
nbdcopy --flush --connections=4 "$work/fresh" "$uri"
nbdcopy "$uri" "$work/copy"
expect_equal "a whole image written by nbdcopy" "$(sha "$work/copy")" "$(sha "$work/fresh")"
end_page
expect_equal "the image's own file" "$(sha "$image")" "$original"
expect_quiet_log
pass "changes survive a restart; the file is as it was"
