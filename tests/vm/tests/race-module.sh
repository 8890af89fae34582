#!/bin/bash
# The module is unloaded and loaded all the time while devices are attached and detached: each attach works or says why
# not, and nothing is left behind; generic netlink answers. Twelve rounds; with NBDRING_LONG=1 two hundred.
# vm-timeout: 3600
source "$(dirname "$0")/device-functions.sh"
cd "$SCRATCH"

rounds=12
[[ -z ${NBDRING_LONG:-} ]] || rounds=200

truncate -s 4M image
echo 'data' | dd of=image conv=notrunc status=none

touch reloading
reload() {
  while [[ -e reloading ]]; do
    modprobe -r nbd 2>/dev/null || true
    modprobe nbd nbds_max=0 max_part=16 2>/dev/null || true
    sleep "0.0$((RANDOM % 10))"
  done
}
reload &
reloading=$!

worked=0
for ((round = 1; round <= rounds; ++round)); do
  if device=$("$NBDRING" attach --connections $((round % 3 + 1)) image 2>words); then
    [[ $(head -c 4 "$device") == data ]] || fail "round $round: other bytes"
    "$NBDRING" detach "$device" || fail "round $round: $device is not detached"
    worked=$((worked + 1))
  else
    is "lines of the refusal ($(head -n 1 words))" "$(wc -l <words)" 1
  fi
  generic_netlink_answers || fail "round $round: generic netlink hangs"
done
rm reloading
wait "$reloading"
is leftovers "$(leftovers)" ''
((worked > rounds / 2)) || fail "only $worked of $rounds attaches worked"
timeout 20 modprobe -r nbd || fail "the module is in use"
echo "ok: $worked of $rounds attaches worked beside reloads of the module"
