#!/bin/bash
# attach, detach and status take names from the configuration file, and attach its defaults.
# check-kernel: 6.12
set -euo pipefail
source "$(dirname "$0")/kernel-functions.sh"

cd "$SCRATCH"
unset NBDRING_ROUTES

field() { python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }
listed() { "$NBDRING" list --json | field "[0]['$1']"; }

truncate --size 16M image
truncate --size 8M disk
mkdir -p /etc/nbdring
cat >/etc/nbdring/nbdring.toml <<END
[aliases]
disk = "again"
again = "file:$SCRATCH/image"
[attach]
connections = 3
END

an_alias_is_what_it_stands_for() {
  attach disk
  is "identity" "$(listed id)" "file:$SCRATCH/image"
  is "size" "$(blockdev --getsize64 "$device")" $((16 << 20))
  is "the same by its path" "$("$NBDRING" attach "$SCRATCH/image")" "$device"
  is "the same by a route" "$(NBDRING_ROUTES="other disk" "$NBDRING" attach other)" "$device"
  is "status by alias" "$("$NBDRING" status disk --json | field "['lanes'].__len__()")" 3
  refused 4 "'again' is not attached" "$NBDRING" detach again --config /dev/null
  "$NBDRING" detach again
  is "left" "$("$NBDRING" list)" ""
}

an_option_goes_before_the_file() {
  attach ./disk --connections 1
  is "identity" "$(listed id)" "file:$SCRATCH/disk"
  is "connections" "$(listed connections)" 1
  "$NBDRING" detach "$device"
}

# The end of a device must not hang on it.
a_broken_file_stops_attach_alone() {
  attach disk
  echo 'connections == 3' >>/etc/nbdring/nbdring.toml
  refused 2 '/etc/nbdring/nbdring.toml:6: ' "$NBDRING" attach ./disk
  refused 2 '/etc/nbdring/nbdring.toml:6: ' "$NBDRING" status disk
  "$NBDRING" status "$device"
  "$NBDRING" detach "file:$SCRATCH/image"
  chmod 666 /etc/nbdring/nbdring.toml
  refused 1 'can be written by others than root' "$NBDRING" attach ./disk
}

an_alias_is_what_it_stands_for
an_option_goes_before_the_file
a_broken_file_stops_attach_alone
