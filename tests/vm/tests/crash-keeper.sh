#!/bin/bash
# The keeper is killed: the engine serves on and has another one. Both are killed: `attach` adopts the device. An engine
# that is killed while it takes over, and one that aborts, are only two more that died.
# vm-timeout: 300
# check-kernel: 6.1
# vm-allow: (nbd[0-9]+: (Receive|Send) (control|data) failed|Dead connection|Connection timed out|shutting down sockets)
source "$(dirname "$0")/device-functions.sh"
cd "$SCRATCH"

is_another() { [[ $(recorded "$1") != "$2" ]]; }
reads() { timeout 20 dd if="$device" of=/dev/null bs=64k count=16 iflag=direct status=none; }

truncate -s 16M image
dd if=/dev/urandom of=image bs=1M count=16 conv=notrunc status=none
cp image image.copy
attach -c 2 --timeout 2 image

keeper=$(recorded keeper)
anonymous=$(awk '/^RssAnon/ { print $2 }' "/proc/$keeper/status")
((anonymous < 2048)) || fail "the keeper has $anonymous KiB of its own"
resident=$(awk '/^VmRSS/ { print $2 }' "/proc/$keeper/status")
echo "ok: the keeper has $anonymous KiB of its own, $resident KiB with the program's text"
(($(awk '/^VmLck/ { print $2 }' "/proc/$keeper/status") > 0)) || fail "the keeper is not locked in memory"
is "the keeper's oom_score_adj" "$(cat "/proc/$keeper/oom_score_adj")" -1000

engine=$(recorded pid)
kill -9 "$keeper"
until_true 10 is_another keeper "$keeper" || fail "no other keeper"
reads
is "the engine" "$(recorded pid)" "$engine"
echo "ok: a keeper was killed, the engine has another one"

for signal in 6 11 9; do
  engine=$(recorded pid)
  kill "-$signal" "$engine"
  until_true 20 is_another pid "$engine" || fail "no other engine after signal $signal"
  # Once more while it is taking over.
  kill -9 "$(recorded pid)"
  reads || fail "nothing is read after signal $signal"
done
echo "ok: engines died of signals"

# Nobody is left but the driver.
engine=$(recorded pid) keeper=$(recorded keeper)
kill -STOP "$keeper"
kill -9 "$engine" "$keeper"
until_true 10 bash -c "! kill -0 $engine 2>/dev/null"
is "attached once more" "$("$NBDRING" attach -c 2 --timeout 2 image)" "$device"
reads
cmp image.copy "$device" || fail "other bytes"
echo "ok: attach adopted the device"

# Stopped and continued, as systemd does at shutdown.
kill -STOP "$(recorded keeper)" "$(recorded pid)"
sleep 1
kill -CONT "$(recorded keeper)" "$(recorded pid)"
reads

kill -TERM "$(recorded keeper)"
until_true 20 bash -c '[[ -z $(pgrep "^nbdring") ]]' || fail "SIGTERM to the keeper does not detach"
is leftovers "$(leftovers)" ''
echo "ok: the keeper"
