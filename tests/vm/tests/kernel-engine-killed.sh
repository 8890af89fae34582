#!/bin/bash
# An engine that dies with its keeper takes nothing with it: its device can be detached in seconds, generic netlink
# answers meanwhile, and the next attach works.
# vm-timeout: 600
# vm-allow: I/O error
# vm-allow: nbd[0-9]+: (Receive|Send) (control|data|disconnect) failed
# vm-allow: Dead connection|Connection timed out
set -euo pipefail
source "$(dirname "$0")/kernel-functions.sh"

cd "$SCRATCH"


# With reads that wait for the dead engine.
kill_engine_under_load() {
  truncate --size 64M image
  attach --connections "$1" --recovery-window 20 image
  dd if="$device" of=/dev/null bs=4k iflag=direct status=none 2>/dev/null &
  reader=$!
  sleep 0.3
  # A stopped keeper starts no other engine.
  kill -STOP "$(recorded keeper)"
  kill -9 "$(recorded pid)" "$(recorded keeper)"
  until_true 10 bash -c "! pgrep -x 'nbdring|nbdring-keeper' >/dev/null"
  dd if="$device" of=/dev/null bs=4k count=1 skip=100 iflag=direct status=none 2>/dev/null &
  waiter=$!
  sleep 0.5
}

detaches_in_time() {
  local started=$SECONDS
  "$NBDRING" detach --force "$device" &
  local detaching=$!
  while kill -0 "$detaching" 2>/dev/null; do
    generic_netlink_answers || fail "generic netlink hangs while $device is detached"
    sleep 0.2
  done
  wait "$detaching" || echo "note: detach ended with $?"
  ((SECONDS - started <= 15)) || fail "detach took $((SECONDS - started)) s"
  echo "ok: detach took about $((SECONDS - started)) s"
  wait "$reader" "$waiter" || true
  until_true 10 test ! -e "/sys/block/${device#/dev/}" || fail "$device is still there"
}

for connections in 1 4; do
  kill_engine_under_load "$connections"
  detaches_in_time
  "$NBDRING" detach "$device" 2>/dev/null || true
  attach image
  dd if="$device" of=/dev/null bs=1M status=none
  detach "$device"
  is "leftovers" "$(leftovers)" ""
done
