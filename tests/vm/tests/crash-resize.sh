#!/bin/bash
# A resize that finds its server gone says so, and the device goes on: other engines try until the server is back, which
# is one stall however many of them fail, and no request does.
# vm-timeout: 200
# check-kernel: 6.12
# vm-allow: nbd[0-9]+: (Receive control|Send (control|data|disconnect)) failed|Dead connection|Connection timed out
# vm-allow: nbd[0-9]+: shutting down sockets
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

goes_away() { mv nbd.sock away.sock; }  # for new connections: those that are there notice nothing
comes_back() { mv away.sock nbd.sock; }
resize_finds_nobody() {
  refused 5 'is not resized: cannot reach .*; another engine adopts the device' timeout 30 "$NBDRING" resize "$device"
}
status_is() {
  "$NBDRING" status --json "$device" | python3 -c "import json, sys; status = json.load(sys.stdin); print($1)"
}

truncate --size 64M image
start_server nbdkit -f -U "$SCRATCH/nbd.sock" file image
wait_for_socket "$SCRATCH/nbd.sock"
attach --connections 2 "nbd+unix:///?socket=$SCRATCH/nbd.sock"
goes_away
resize_finds_nobody
dd if=/dev/urandom of=written bs=64k count=4 status=none
dd if=written of="$device" bs=64k oflag=direct status=none &
writer=$!
refused 1 'the device has no engine at the moment' "$NBDRING" status "$device"
sleep 5
kill -0 "$writer" || fail "a write did not wait: $(wait "$writer"; echo $?)"
truncate --size 80M image
comes_back
wait "$writer" || fail "a write failed"
cmp --bytes 262144 written image || fail "other bytes"
"$NBDRING" resize "$device"
is "the size" "$(blockdev --getsize64 "$device")" $((80 << 20))
is "stalls" "$(status_is 'status["last_stall"]["count"]')" 1
(($(status_is 'status["engine_restarts"]') > 1)) || fail "only one engine has tried"
(($(status_is 'status["last_stall"]["ms"]') > 5000)) || fail "the stall began with its last engine"
is "I/O errors" "$(dmesg | grep -ci 'I/O error' || true)" 0

# Where it is not to go on.
goes_away
resize_finds_nobody
"$NBDRING" detach --force "$device"
is leftovers "$(leftovers)" ''
echo "ok: a resize may find nobody"
