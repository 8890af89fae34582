#!/bin/bash
# systemd as process 1, three boots: what the scratch disk keeps, and what the host keeps of each journal.
# vm-init: systemd
# vm-timeout: 120
set -euo pipefail

expect() { "$@" || { echo "not so: $*"; exit 1; }; }

if [[ $1 == setup ]]; then
  echo "setup of boot $NBDRING_VM_BOOT"
  exit 0
fi
expect test "$(systemctl is-system-running --wait)" = running
expect test "$(cat /proc/1/comm)" = systemd
expect test -x /usr/bin/nbdring
echo "boot $NBDRING_VM_BOOT is up"
case $NBDRING_VM_BOOT in
  1) systemd-analyze blame | head -4; echo one >"$SCRATCH/kept"; exit 100 ;;
  2) expect test "$(<"$SCRATCH/kept")" = one; exit 101 ;;
  3) expect grep -q 'reboot.target' "$NBDRING_VM_JOURNALS/1"
     expect grep -q 'poweroff.target' "$NBDRING_VM_JOURNALS/2" ;;
esac
