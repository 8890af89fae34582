#!/bin/bash
# `nbdring bench` on a device: found by path, number, name and id, read directly and never written unless asked to; what
# is mounted or held is refused even then; what was written is verified; the engine's CPU is seen.
# check-kernel: 6.1
source "$(dirname "$0")/device-functions.sh"
cd "$SCRATCH"

truncate --size 64M image
attach --name srv --id some-id image
mkfs.ext4 -q "$device"
before=$(sum_of "$device")

short=(-t 0.3 -b 4k -d 4)

# field NAME: of the last JSON's first result.
field() { python3 -c "import json; print(json.load(open('out.json'))['results'][0]['$1'])"; }

for target in "$device" "${device#/dev/nbd}" srv some-id; do
  "$NBDRING" bench "$target" "${short[@]}" --json >out.json
  ((($(field requests)) > 0)) || fail "$target: nothing measured"
  [[ $(field engine_cpu_ns_per_request) != None ]] || fail "$target: the engine's CPU is not seen"
done
is "reading changes nothing" "$(sum_of "$device")" "$before"
# It is the device that was read, and not the page cache: what is read again comes from the engine again.
read_before=$(counted read bytes)
"$NBDRING" bench "$device" "${short[@]}" --size 32k --json >out.json
(($(counted read bytes) - read_before >= $(field bytes))) || fail "the page cache answered"

# What is not allowed names what would be lost; what is in use is not written.
refused 2 "give --write, which overwrites the 64.0 MiB of $device \(srv\)" "$NBDRING" bench srv --reads 50
mkdir -p mnt
mount -o ro "$device" mnt
refused 3 "$device is in use: mounted on $SCRATCH/mnt; it is not written" "$NBDRING" bench srv --write "${short[@]}"
refused 3 "is in use: mounted on $SCRATCH/mnt" "$NBDRING" bench "$device" --write "${short[@]}"
"$NBDRING" bench srv "${short[@]}" >/dev/null || fail "what is mounted cannot be read"
umount mnt
modprobe dm-mod
dmsetup create --noudevsync over --table "0 65536 linear $device 0"
refused 3 "is in use: held by" "$NBDRING" bench srv --write "${short[@]}"
dmsetup remove --noudevsync over
is "refusing changes nothing" "$(sum_of "$device")" "$before"

"$NBDRING" bench srv "${short[@]}" --reads 30 --write --verify -c 2 --json >out.json 2>out.err
is "wrong blocks" "$(field wrong_blocks)" 0
(($(field verified_bytes) > 0)) || fail "nothing verified"
grep -q "overwrites the 64.0 MiB of $device (srv)" out.err || fail "the loss is not named: $(<out.err)"
[[ $(sum_of "$device") != "$before" ]] || fail "nothing was written"

detach "$device"
refused 4 "$device is not attached" "$NBDRING" bench "$device"
is "leftovers" "$(leftovers)" ""
