#!/bin/bash
# A connection whose receiver does not run is not left so: attach connects again, and gives up cleanly. The kernel does
# that to us only when it is very busy (kernel/receivers.hpp), so here it is made to look like it: in a process
# namespace whose second process is called kthreadd, no receivers are to be seen.
# vm-timeout: 300
set -euo pipefail
source "$(dirname "$0")/kernel-functions.sh"

cd "$SCRATCH"
truncate --size 16M image
cp "$(command -v sleep)" kthreadd

attach_without_visible_receivers() {
  # shellcheck disable=SC2016
  unshare --pid --fork --mount-proc bash -c '
    ./kthreadd 100 &
    until [[ $(</proc/2/comm) == kthreadd ]]; do :; done
    "$NBDRING" attach --verbose --connections 2 image
  '
}

modprobe nbd nbds_max=0 max_part=16
dmesg --clear
refused 1 'too busy to serve every connection.*try again' attach_without_visible_receivers
# Three times the real one, and each time two that only make the kernel add workers.
is "times connected" "$(dmesg | grep -c 'block nbd0: NBD_DISCONNECT')" 9
is "times it got a size" "$(dmesg | grep -c 'detected capacity change' || true)" 0
is "leftovers" "$(leftovers)" ""

attach --connections 16 image
is "receivers" "$(cat /proc/[0-9]*/comm 2>/dev/null | grep -c '+nbd0-recv$')" 16
detach "$device"
is "leftovers" "$(leftovers)" ""
