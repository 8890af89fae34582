#!/bin/bash
# The keeper is killed: the engine serves on and has another one. Both are killed: `attach` adopts the device. An engine
# that is killed while it takes over, and one that aborts, are only two more that died.
# vm-timeout: 300
# vm-allow: (nbd[0-9]+: (Receive|Send) (control|data) failed|Dead connection|Connection timed out|shutting down sockets)
source "$(dirname "$0")/device-functions.sh"
cd "$SCRATCH"

record() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "/run/nbdring/nbd$number.json" "$1"; }
is_another() { [[ $(record "$1") != "$2" ]]; }
reads() { timeout 20 dd if="$device" of=/dev/null bs=64k count=16 iflag=direct status=none; }

truncate -s 16M image
dd if=/dev/urandom of=image bs=1M count=16 conv=notrunc status=none
cp image image.copy
attach -c 2 --timeout 2 image

keeper=$(record keeper)
anonymous=$(awk '/^RssAnon/ { print $2 }' "/proc/$keeper/status")
((anonymous < 2048)) || fail "the keeper has $anonymous KiB of its own"
echo "ok: the keeper has $anonymous KiB of its own, $(awk '/^VmRSS/ { print $2 }' "/proc/$keeper/status") KiB with the program's text"
(($(awk '/^VmLck/ { print $2 }' "/proc/$keeper/status") > 0)) || fail "the keeper is not locked in memory"
is "the keeper's oom_score_adj" "$(cat "/proc/$keeper/oom_score_adj")" -1000

engine=$(record pid)
kill -9 "$keeper"
until_true 10 is_another keeper "$keeper" || fail "no other keeper"
reads
is "the engine" "$(record pid)" "$engine"
echo "ok: a keeper was killed, the engine has another one"

for signal in 6 11 9; do
  engine=$(record pid)
  kill "-$signal" "$engine"
  until_true 20 is_another pid "$engine" || fail "no other engine after signal $signal"
  # Once more while it is taking over.
  kill -9 "$(record pid)"
  reads || fail "nothing is read after signal $signal"
done
echo "ok: engines died of signals"

# Nobody is left but the driver.
engine=$(record pid) keeper=$(record keeper)
kill -STOP "$keeper"
kill -9 "$engine" "$keeper"
until_true 10 bash -c "! kill -0 $engine 2>/dev/null"
is "attached once more" "$("$NBDRING" attach -c 2 --timeout 2 image)" "$device"
reads
cmp image.copy "$device" || fail "other bytes"
echo "ok: attach adopted the device"

# Stopped and continued, as systemd does at shutdown.
kill -STOP "$(record keeper)" "$(record pid)"
sleep 1
kill -CONT "$(record keeper)" "$(record pid)"
reads

kill -TERM "$(record keeper)"
until_true 20 bash -c '[[ -z $(pgrep "^nbdring") ]]' || fail "SIGTERM to the keeper does not detach"
is leftovers "$(leftovers)" ''
echo "ok: the keeper"
