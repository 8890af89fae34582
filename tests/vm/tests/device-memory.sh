#!/bin/bash
# An attached device's engine: its memory at rest, its memory after the largest requests, and what shields it.
# vm-timeout: 300
set -euo pipefail
source "$(dirname "$0")/kernel-functions.sh"

limit_kib=$((24 * 1024))

resident_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$engine/status"; }

stays_below_limit() {
  local kib
  kib=$(resident_kib)
  ((kib < limit_kib)) || fail "$1: $kib KiB resident, limit $limit_kib KiB"
  echo "ok: $1: $kib KiB resident"
}

cd "$SCRATCH"
truncate --size 256M image
attach image
engine=$(pgrep -x nbdring)
stays_below_limit "idle"

# Requests of up to 32 MiB, larger than what a lane keeps: what they took is given back.
echo 32768 >"/sys/block/nbd$number/queue/max_sectors_kb"
dd if=/dev/zero of="$device" bs=32M count=4 oflag=direct status=none
dd if="$device" of=/dev/null bs=32M count=4 iflag=direct status=none
stays_below_limit "after requests of 32 MiB"

is "oom_score_adj" "$(cat "/proc/$engine/oom_score_adj")" -1000
# Task flag PF_MEMALLOC_NOIO is set by PR_SET_IO_FLUSHER together with PF_LOCAL_THROTTLE (0x00100000): read it back.
lanes=0
for task in "/proc/$engine/task/"*; do
  [[ $(cat "$task/comm") == nbdring-lane* ]] || continue
  flags=$(sed 's/.*) //' "$task/stat" | cut -d ' ' -f 7)
  (((flags & 0x00100000) != 0)) || fail "$(cat "$task/comm") is no I/O flusher (flags $flags)"
  lanes=$((lanes + 1))
done
is "lanes that are I/O flushers" "$lanes" "$(nproc)"
locked=$(awk '/^VmLck/ { print $2 }' "/proc/$engine/status")
((locked > 0)) || fail "nothing is locked in memory"
echo "ok: $locked KiB of address space locked as touched"

keeper=$(pgrep -x nbdring-keeper)
anonymous=$(awk '/^RssAnon/ { print $2 }' "/proc/$keeper/status")
((anonymous < 2048)) || fail "the keeper has $anonymous KiB of its own"
echo "ok: the keeper has $anonymous KiB of its own"

detach "$device"

# The default on a machine with four processors or more.
attach --connections 4 image
engine=$(pgrep -x nbdring)
stays_below_limit "idle with 4 connections"
detach "$device"
is "leftovers" "$(leftovers)" ""
