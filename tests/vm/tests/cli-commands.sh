#!/bin/bash
# The commands as a user or a script meets them: identities, names, states, signals, reports.
# vm-timeout: 600
# A forced detach under a mount is asked for:
# vm-allow: I/O error|EXT4-fs|JBD2|Aborting journal|lost sync page write|Buffer I/O error
# check-kernel: 6.1
set -euo pipefail
source "$(dirname "$0")/kernel-functions.sh"

cd "$SCRATCH"

run_files() { find /run/nbdring -mindepth 1 | sort; }
engine_of() { "$NBDRING" list --json | python3 -c "import json,sys; print(json.load(sys.stdin)[0]['pid'])"; }
field() { python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }

nothing_listed() { [[ -z $("$NBDRING" list) ]]; }
nothing_left() { [[ -z $(leftovers) ]]; }

identities_and_names() {
  truncate --size 16M image other
  attach image --name disk
  is "the same file by another path" "$("$NBDRING" attach "$PWD/./image")" "$device"
  refused 3 'attached already at .*writable' "$NBDRING" attach image --read-only
  refused 3 'attached already at .*nbd0' "$NBDRING" attach image /dev/nbd5
  refused 3 "the name 'disk' is that of $device" "$NBDRING" attach other --name disk
  refused 3 'with the backend file:.*image' "$NBDRING" attach other --id "file:$PWD/image"
  is "mode of the folder" "$(stat -c %a /run/nbdring)" 700
  "$NBDRING" detach disk
  refused 4 "'disk' is not attached" "$NBDRING" detach disk
  is "files of ours" "$(run_files)" ""
}

one_of_three_at_once() {
  local i
  for i in 1 2 3; do "$NBDRING" attach image >"printed.$i" & done
  wait
  is "devices printed" "$(cat printed.* | sort -u)" /dev/nbd0
  is "devices" "$("$NBDRING" list --json | field '.__len__()')" 1
  "$NBDRING" detach image
}

reports() {
  is "empty list" "$("$NBDRING" list)" ""
  is "empty list as JSON" "$("$NBDRING" list --json)" "[]"
  attach memory:16M --connections 2 --read-only
  dd if="$device" of=/dev/null bs=1M iflag=direct status=none
  "$NBDRING" list
  "$NBDRING" status "$device"
  is "read-only" "$("$NBDRING" list --json | field "[0]['read_only']")" True
  local bytes
  bytes=$("$NBDRING" status "$device" --json | field "['totals']['read']['bytes']")
  ((bytes >= 16 << 20)) || fail "status counted $bytes bytes read"
  is "lanes" "$("$NBDRING" status "$device" --json | field "['lanes'].__len__()")" 2
  "$NBDRING" status "$device" --prometheus >metrics
  grep -q '^nbdring_lane_serving{device="nbd0",lane="1"} 1$' metrics
  refused 2 'terminal' "$NBDRING" status "$device" --watch
  "$NBDRING" detach --all
}

# The first SIGTERM leaves a device in use alone, and one that is not is detached by it.
signals() {
  attach image
  mkfs.ext4 -q "$device" && mkdir -p mnt && mount "$device" mnt
  local engine
  engine=$(engine_of)
  kill "$engine"
  until_true 10 grep -q "in use: mounted on $SCRATCH/mnt" /run/nbdring/nbd0.log
  is "state" "$("$NBDRING" list --json | field "[0]['state']")" serving
  umount mnt
  kill "$engine"
  until_true 20 test ! -e "/proc/$engine"
  is "leftovers" "$(leftovers)" ""
}

foreground() {
  "$NBDRING" attach image --foreground >printed &
  local engine=$!
  until_true 30 test -s printed
  is "printed" "$(cat printed)" /dev/nbd0
  kill -INT "$engine"
  wait "$engine" || fail "the engine ended with $?"
  is "leftovers" "$(leftovers)" ""
}

all_goes_on_over_failures() {
  attach memory:16M && local first=$device
  attach memory:16M && local second=$device
  mkfs.ext4 -q "$first" && mount "$first" mnt
  refused 3 "$first is in use" "$NBDRING" detach --all
  is "left" "$("$NBDRING" list --json | field '[0]["device"]')" "$first"
  [[ ! -e /sys/block/${second#/dev/}/pid ]] || fail "$second is still attached"
  umount mnt
  "$NBDRING" detach --all
  is "leftovers" "$(leftovers)" ""
}

forced_under_a_mount() {
  attach memory:16M
  mkfs.ext4 -q "$device" && mount "$device" mnt
  "$NBDRING" detach --force "$device" 2>warning
  grep -q 'until its last user has closed it' warning
  is "state" "$("$NBDRING" list --json | field "[0]['state']")" "engine gone"
  umount mnt
  until_true 10 nothing_listed || fail "list shows: $("$NBDRING" list)"
  until_true 10 nothing_left || fail "left: $(leftovers)"
}

disconnected_by_somebody_else() {
  attach memory:16M
  nbd-client -d "$device" || true  # it looks for the device afterwards, which is gone
  until_true 20 nothing_left || fail "left: $(leftovers)"
}

identities_and_names
one_of_three_at_once
reports
signals
foreground
all_goes_on_over_failures
forced_under_a_mount
disconnected_by_somebody_else
