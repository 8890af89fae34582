#!/bin/bash
# kill -9 under systemd, of the engine, of the keeper and of both, with a file system in use on the device: the service
# goes on or is started again and adopts the device, and nobody gets an error.
# vm-init: systemd
# vm-companion: ../companions/far-server.py
# vm-timeout: 300
# check-kernel: 6.1
# The engine's end is seen by the driver, which sends again what was on its way:
# vm-allow: block nbd[0-9]+: (Receive control failed|Send (control|data) failed)
# vm-allow: block nbd[0-9]+: (shutting down sockets|Dead connection|Connection timed out)
source "$(dirname "$0")/systemd-functions.sh"

service=nbdring@local.service

engine() {
  nbdring list --json | python3 -c '
import json, sys
print(next(d["pid"] for d in json.load(sys.stdin) if d["name"] == "local"))'
}
keeper() { systemctl show -P MainPID "$service"; }

# Another engine serves the device, and every write of a second ends.
is_well() {
  local pid
  pid=$(engine) && [[ $pid != "$1" && -d /proc/$pid ]] && [[ $(systemctl is-active "$service") == active ]] &&
    timeout 20 dd if=/dev/urandom of=/mnt/local/well bs=64k count=8 conv=fsync status=none
}

# killed WHAT PID…
killed() {
  local what=$1 before
  shift
  before=$(engine)
  kill -KILL "$@"
  within 60 is_well "$before"
  [[ $what == "keeper" ]] || expect test "$(engine)" != "$before"
  is "the load after the death of the $what" "$(systemctl is-active load-local.service)" active
  echo "ok: $what killed"
}

if [[ $1 == setup ]]; then
  make_images
  write_tab
  sed -i '/^far/d' /etc/nbdring/tab
  sed -i '/far/d' /etc/fstab
  sed -i '/^local/s/$/,timeout=3/' /etc/nbdring/tab
  exit 0
fi
within 120 is_mounted local
start_load local
device=$(realpath /dev/disk/by-nbd/local)
killed "engine" "$(engine)"
killed "keeper" "$(keeper)"
killed "engine and keeper" "$(keeper)" "$(engine)"
is "the device" "$(realpath /dev/disk/by-nbd/local)" "$device"
expect systemctl stop load-local.service
leave_mark local
expect systemctl stop "$service"
is "what the stop left" "$(nbdring list --json | tr -d ' \n')" '[]'
expect e2fsck -fn /scratch/local.image
expect systemctl start mnt-local.mount
check_mark local
