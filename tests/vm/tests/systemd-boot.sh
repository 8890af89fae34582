#!/bin/bash
# Devices of /etc/nbdring/tab and their file systems under systemd: up after boot with no help, a server that is absent
# and comes later, restart under load. NBDRING_LONG: reboot and poweroff under load, and a journal that has nothing to
# complain of.
# vm-init: systemd
# vm-companion: ../companions/far-server.py
# vm-timeout: 400
# check-kernel: 6.12
source "$(dirname "$0")/systemd-functions.sh"

check_units() {
  local complaints
  complaints=$(systemd-analyze --man=no --generators=yes verify nbdring@local.service nbdring@far.service \
    nbdring-again@local.service nbdring-gateway.service nbdring-gateway.socket mnt-local.mount mnt-far.mount \
    multi-user.target 2>&1 | grep -iE 'nbdring|cycle|mnt-' || true)
  is "what systemd-analyze says" "$complaints" ''
}

check_links() {
  local device
  device=$(nbdring list --json | python3 -c '
import json, sys
print(next(d["device"] for d in json.load(sys.stdin) if d["name"] == "local"))')
  is "the link of local" "$(realpath /dev/disk/by-nbd/local)" "$device"
  is "the link by id" "$(realpath '/dev/disk/by-id/nbdring-file:\x2fscratch\x2flocal.image')" "$device"
  expect systemctl start nbdring@parts.service
  expect test -b /dev/disk/by-nbd/parts-part2
  is "the partition" "$(realpath /dev/disk/by-nbd/parts-part2)" "$(realpath /dev/disk/by-nbd/parts)p2"
  expect systemctl stop nbdring@parts.service
  within 10 test ! -e /dev/disk/by-nbd/parts
}

# What can be asked for: `journalctl DEVICE=/dev/nbd0`.
check_journal_fields() {
  local entry
  entry=$(journalctl -o json --output-fields=MESSAGE,DEVICE,BACKEND,PRIORITY,_SYSTEMD_UNIT \
    BACKEND=file:/scratch/local.image | grep '"attached')
  expect grep -q '"DEVICE":"/dev/nbd' <<<"$entry"
  expect grep -q '"PRIORITY":"6"' <<<"$entry"
  expect grep -q '"_SYSTEMD_UNIT":"nbdring@local.service"' <<<"$entry"
}

# Started by its first peer, and attaching is not needed to show the page.
check_gateway() {
  expect systemctl start nbdring-gateway.socket
  expect python3 -c 'import urllib.request as r; r.urlopen("http://127.0.0.1:8080/", timeout=60)'
  is "the gateway" "$(systemctl is-active nbdring-gateway.service)" active
  expect systemctl stop nbdring-gateway.socket nbdring-gateway.service
}

# For a server that is absent.
is_waiting() {
  [[ $(systemctl is-active nbdring@far.service) == activating ]] &&
    systemctl show -P StatusText nbdring@far.service | grep -q waiting
}

first_boot() {
  within 120 systemctl is-active multi-user.target
  expect is_mounted local
  within 60 is_waiting
  is "the far server" "$(far start)" started
  within 60 is_mounted far
  within 60 systemctl is-system-running
  check_units
  check_links
  check_journal_fields
  check_gateway
  start_load far
  expect systemctl restart nbdring@far.service
  is "after the restart" "$(systemctl is-active nbdring@far.service)" active
  within 30 systemctl start mnt-far.mount
}

second_boot() {
  within 120 is_mounted local
  within 60 is_mounted far
  check_journal "$NBDRING_VM_JOURNALS/1" 'waiting: cannot open nbds://|insecure: whoever can reach this gateway'
  check_mark local
  check_mark far
  is "the far file system" "$(systemctl stop nbdring@far.service && far check)" clean
  is "failed units" "$(systemctl --failed --no-legend)" ''
}

leave_under_load() {
  leave_mark local
  leave_mark far
  start_load local
  start_load far
  sleep 2
}

if [[ $1 == setup ]]; then
  ((NBDRING_VM_BOOT > 1)) || make_images
  write_tab
  exit 0
fi
case $NBDRING_VM_BOOT in
  1)
    first_boot
    [[ -n ${NBDRING_LONG:-} ]] || exit 0
    leave_under_load
    exit 100
    ;;
  2)
    second_boot
    expect systemctl start mnt-far.mount
    leave_under_load
    exit 101
    ;;
  3)
    within 120 is_mounted far
    check_journal "$NBDRING_VM_JOURNALS/2"
    check_mark local
    check_mark far
    ;;
esac
