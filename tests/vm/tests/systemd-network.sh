#!/bin/bash
# Poweroff when the network has gone before the unmount: what writes to the device cannot end, so that nothing can be
# unmounted, and the machine comes to its end all the same. What was synced before is there in the next boot. Takes five
# minutes: NBDRING_LONG only.
# vm-init: systemd
# vm-companion: ../companions/far-server.py
# vm-timeout: 400
# The far device is ended by force under its file system:
# vm-allow: block nbd[0-9]+: (Receive|Send|Dead connection|Connection timed out|Possible stuck)
# vm-allow: (I/O error|EXT4-fs (error|warning)).* nbd1|on dev(ice)? nbd1[,-]|for nbd1-|blocked for more than
source "$(dirname "$0")/systemd-functions.sh"

go_without_network() {
  within 120 is_mounted local
  is "the far server" "$(far start)" started
  within 60 is_mounted far
  leave_mark local
  leave_mark far
  start_load local
  start_load far
  sleep 2
  ip link set "$(networkctl --no-legend list | awk '$3 == "ether" { print $2 }')" down
}

what_was_left() {
  local journal=$NBDRING_VM_JOURNALS/1
  expect grep -aq 'is in use: mounted on /mnt/far' "$journal"
  expect grep -aq 'Unmounted mnt-local.mount' "$journal"
  expect grep -aq 'Reached target poweroff.target' "$journal"
  within 120 is_mounted far
  check_mark local
  check_mark far
  is "the far file system" "$(systemctl stop nbdring@far.service && far check)" clean
}

if [[ $1 == setup ]]; then
  [[ -n ${NBDRING_LONG:-} ]] || { echo "only with NBDRING_LONG=1 (check --long)"; exit 77; }
  ((NBDRING_VM_BOOT > 1)) || make_images
  write_tab
  exit 0
fi
case $NBDRING_VM_BOOT in
  1) go_without_network; exit 101 ;;
  2) what_was_left ;;
esac
