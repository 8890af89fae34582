#!/bin/bash
# What the package's scripts do to a device that is written to: a new version is handed it, a removal leaves it alone.
# vm-timeout: 200
# check-kernel: 6.1
set -Eeuo pipefail
source "$(dirname "$0")/kernel-functions.sh"
trap 'echo "${BASH_SOURCE[-1]##*/}: failed at line $LINENO: $BASH_COMMAND" >&2' ERR

scripts=$(dirname "$0")/../../../packaging/debian
export PATH=/usr/local/bin:$PATH
ln -sf "$NBDRING" /usr/local/bin/nbdring

engine() { "$NBDRING" list --json | sed -n -E 's/^ *"pid": *([0-9]+),?$/\1/p'; }

# Until told to stop; a failed write ends it with a failure.
write_all_the_time() {
  until [[ -e $SCRATCH/enough ]]; do
    dd if="$SCRATCH/pattern" of="$device" bs=64K oflag=direct conv=notrunc status=none
  done
}

truncate --size 16M "$SCRATCH/image"
dd if=/dev/urandom of="$SCRATCH/pattern" bs=1M count=4 status=none
attach "$SCRATCH/image" --connections 2
write_all_the_time &
writer=$!
former=$(engine)

sh "$scripts/postinst" configure 0.0.9 # systemd does not run here: that part is left out
[[ -n $former && $(engine) != "$former" ]] || fail "the engine is still process $former"
kill -0 "$writer" || fail "the writer has failed"

sh "$scripts/prerm" upgrade 0.2.0 2>said
is "lines of an upgrade" "$(wc -l <said)" 0
sh "$scripts/prerm" remove 2>said
grep -q "$device is attached and goes on" said || fail "prerm said '$(<said)'"
sh "$scripts/postrm" remove
touch "$SCRATCH/enough"
wait "$writer" || fail "the writer has failed"
cmp -n $((4 << 20)) "$SCRATCH/pattern" "$device" || fail "other bytes are on the device"
detach "$device"

# Without devices there is nothing to hand over.
is "without devices" "$(sh "$scripts/postinst" configure 0.0.9 2>&1)" ""
