#!/bin/bash
# A cgroup of 64 MiB, with the engine and its keeper in it, writes many times as many dirty pages to its own device, and
# uses it as swap: it finishes, nobody is killed, and every byte is right. Over a file and, for a little, over a TLS
# remote, where the writer waits for each 4 MiB: Linux lets a writer dirty two thirds of a group, and where nothing of
# that gets clean for some seconds, as behind a server that is slow in coming, it ends the writer.
# What swaps is held back from memory.high on: between that and memory.max is what the engine's own requests are paid
# from. Nothing can be freed for those by swapping, and where a group is full Linux kills somebody in it.
# vm-timeout: 1200
# vm-memory: 1024
source "$(dirname "$0")/memory-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

mebibytes=80 swap_mebibytes=80
[[ -z ${NBDRING_LONG:-} ]] || mebibytes=2048 swap_mebibytes=512

# What is written follows from its place, so that it is told from everything else.
cat >write.py <<'WRITE'
import hashlib, os, sys
path, mebibytes, waits_after = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
block = lambda number: hashlib.sha256(str(number).encode()).digest() * 2048
with open(path, "wb") as file:
    for number in range(mebibytes * 16):
        file.write(block(number))
        if (number + 1) % (waits_after * 16) == 0 or number + 1 == mebibytes * 16:
            file.flush()
            os.fsync(file.fileno())
WRITE
cat >compare.py <<'COMPARE'
import hashlib, sys
path, mebibytes = sys.argv[1], int(sys.argv[2])
with open(path, "rb") as file:
    for number in range(mebibytes * 16):
        expected = hashlib.sha256(str(number).encode()).digest() * 2048
        if file.read(len(expected)) != expected:
            sys.exit(f"block {number} is wrong")
    assert not file.read(1)
COMPARE
# Twice, so that what had been swapped out comes in again.
cat >touch.py <<'TOUCH'
import sys
mebibytes = int(sys.argv[1])
memory = bytearray(mebibytes << 20)
for round in (1, 2):
    for page in range(0, len(memory), 4096):
        if round == 2 and int.from_bytes(memory[page:page + 8], "little") != page:
            sys.exit(f"the page at {page} is wrong")
        memory[page:page + 8] = page.to_bytes(8, "little")
TOUCH

in_group() { bash -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' - "$groups/small" "$@"; }

# under_pressure NAME MEBIBYTES DIRTY_MEBIBYTES SWAP_MEBIBYTES: $device is attached
under_pressure() {
  local mebibytes=$2 dirty_mebibytes=$3 swap_mebibytes=$4
  make_group small 64M
  local started=$SECONDS
  into_group small $(processes_of_device)
  mkfs.ext4 -q -E lazy_itable_init=0,nodiscard "$device"
  mkdir -p mnt
  mount "$device" mnt
  in_group python3 write.py mnt/file "$mebibytes" "$dirty_mebibytes" || fail "$1: the writer ended with $?"
  umount mnt
  mount "$device" mnt
  python3 compare.py mnt/file "$mebibytes" || fail "$1: what was written is not there"
  umount mnt
  echo "ok: $1: $mebibytes MiB of dirty pages in $((SECONDS - started)) s"

  started=$SECONDS
  echo 40M >"$groups/small/memory.high"
  mkswap -q "$device"
  swapon "$device"
  in_group python3 touch.py "$swap_mebibytes" || fail "$1: what swaps on it ended with $?"
  swapoff "$device"
  echo "ok: $1: $swap_mebibytes MiB through 64 MiB with swap on it in $((SECONDS - started)) s"
  is "$1: killed in the group" "$(event_of small oom_kill)" 0
  local written
  written=$("$NBDRING" status "$device" --json | python3 -c 'import json, sys; t = json.load(sys.stdin)["totals"]
print(t["all"]["errors"], t["write"]["bytes"] >> 20)')
  ((${written#* } >= mebibytes + swap_mebibytes / 3)) || fail "$1: only ${written#* } MiB were written"
  is "$1: errors" "${written% *}" 0
  detach "$device"
  until_true 10 rmdir "$groups/small" || fail "$1: somebody is left in the group"
}

size=$((mebibytes + mebibytes / 4 + 128))M
truncate --size "$size" image
attach --connections 2 "file:image?cache=none"
under_pressure "a file" "$mebibytes" "$mebibytes" "$swap_mebibytes"

make_psk
start_server nbdkit -f -p 10809 --tls=require --tls-psk="$SCRATCH/keys/keys.psk" file image
wait_for_port 10809
attach --connections 2 "nbds://alice@localhost/?tls-psk-file=$SCRATCH/keys/keys.psk"
under_pressure "a TLS remote" 80 4 80
is "leftovers" "$(leftovers)" ""
