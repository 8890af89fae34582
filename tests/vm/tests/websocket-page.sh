#!/bin/bash
# Somebody far away drops a disk image on the gateway's page, in a real browser on the host, and this machine has it as
# a disk: reads it, mounts it, writes to it while the page is reloaded; and what was written is in the image that the
# browser saves.
# vm-companion: ../../browser/companion.mjs
# vm-timeout: 2400
# check-kernel: 6.12
source "$(dirname "$0")/kernel-functions.sh"
cd "$SCRATCH"
exec 4<>/dev/virtio-ports/companion

# Sets $answer.
ask() {
  local verdict
  echo "$*" >&4
  read -r -t 400 verdict answer <&4 || fail "the companion does not answer: $*"
  [[ $verdict == ok ]] || fail "the companion: $*: $answer"
  echo "ok: the browser: $*"
}

has_device() { [[ $(cat /sys/block/nbd0/size 2>/dev/null) == 10485760 ]]; }
is_listed() { "$NBDRING" list --json | grep -q /dev/nbd0; }
has_no_device() { ! is_listed; }
listens() { ss -ltn | grep -q ':8080 '; }

cat >nbdring.toml <<'TOML'
[gateway]
listen = ["0.0.0.0:8080"]
insecure = true
[gateway.configurations.0]
device = "/dev/nbd0"
TOML
modprobe nbd nbds_max=0
"$NBDRING" gateway --config nbdring.toml 2>gateway.log &
gateway=$!
trap 'cat gateway.log; show_leftovers_on_failure' EXIT
until_true 30 listens || fail "the gateway does not listen"

ask image
known=$answer
ask attach
until_true 30 has_device || fail "/dev/nbd0 did not come: $("$NBDRING" list)"
for place in $known; do
  sum=$(dd if=/dev/nbd0 iflag=skip_bytes,fullblock bs=1M count=1 skip="${place%:*}" status=none | sha256sum)
  is "the sum at ${place%:*}" "${sum%% *}" "${place#*:}"
done
if [[ -n ${NBDRING_LONG:-} ]]; then
  ask sum
  is "the whole device's sum" "$(sha256sum </dev/nbd0)" "$answer  -"
fi

mkdir mnt
mount /dev/nbd0 mnt
(cd mnt/known && sha256sum --quiet -c sums) || fail "the files in the image are not what they were"
echo "ok: the files in the image"

# Writes for as long as the reload takes, whatever that is on this machine: blocks that say which block and which round
# they are, synced now and then. Then everything must be as it was written last.
cat >writer.py <<'PYTHON'
import os, sys
blocks, path, enough = 1024, *sys.argv[1:]
file = os.open(path, os.O_RDWR | os.O_CREAT)
content = lambda block, round: (b'%08d %08d;' % (block, round)) * 910
rounds, number = [0] * blocks, 0
while not os.path.exists(enough):
    block, number = number * 37 % blocks, number + 1
    rounds[block] += 1
    assert os.pwrite(file, content(block, rounds[block]), block * 16384) == 16380
    if number % 16 == 0:
        os.fdatasync(file)
os.fsync(file)
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
wrong = [b for b in range(blocks) if rounds[b] and os.pread(file, 16380, b * 16384) != content(b, rounds[b])]
print(f'{number} writes, wrong blocks: {wrong}')
sys.exit(len(wrong) > 0)
PYTHON
written() { awk '{ print $5 }' /sys/block/nbd0/stat; }
has_written() { (($(written) >= $1)); }
python3 writer.py mnt/written enough >writer.log 2>&1 &
writer=$!
start=$(written)
until_true 60 has_written $((start + 64)) || fail "the writer does not write: $(cat writer.log)"
ask reload
until_true 60 has_written $(($(written) + 64)) || fail "no writes after the reload: $(cat writer.log)"
touch enough
wait "$writer" || fail "the writer: $(cat writer.log)"
echo "ok: $(cat writer.log)"

sum=$(sha256sum <mnt/written)
umount mnt
"$NBDRING" status /dev/nbd0
ask eject
until_true 60 has_no_device || fail "the device outlived the eject: $("$NBDRING" list)"
ask download written
is "what was written, in the image that the browser saved" "$answer" "${sum%% *}"

ask again
until_true 30 is_listed || fail "/dev/nbd0 did not come again"
detach /dev/nbd0 || fail "/dev/nbd0 cannot be given back"
ask detached

kill -TERM "$gateway"
wait "$gateway" || fail "the gateway ended with $?"
is leftovers "$(leftovers)" ''
