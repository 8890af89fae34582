#!/bin/bash
# The session that ./demo shows. Each command is printed as it is run, and everything is checked: a wrong byte ends it.
# vm-timeout: 300
set -euo pipefail

export PATH=$(dirname "$NBDRING"):$PATH
folder=$(mktemp -d /var/tmp/nbdring-demo.XXXXXX)
cd "$folder"
device=''

bold='' green='' plain=''
[[ -z ${NBDRING_DEMO_COLOR:-} ]] || bold=$'\e[1m' green=$'\e[32m' plain=$'\e[0m'

cleanup() {
  local status=$?
  ! mountpoint -q "$folder/mnt" || umount "$folder/mnt"
  [[ -z $device ]] || nbdring detach "$device" || true
  cd / && rm -rf "$folder"
  ((status == 0)) || echo "The demo FAILED (exit status $status)."
}
trap cleanup EXIT

say() { echo; echo "${green}# $*${plain}"; }

# Shows a line and runs it, as a person at a terminal would.
run() {
  echo "${bold}\$ $1${plain}"
  eval "$1"
}

# One line out of fio's JSON: what was moved, how fast, how long one request took.
fio_summary() {
  python3 - "$1" <<'END'
import json, sys
for job in json.load(open(sys.argv[1]))["jobs"]:
    for way in "write", "read":
        it = job[way]
        if it["total_ios"]:
            print(f"{job['jobname']}: {way} {it['io_bytes'] / 2**20:.0f} MiB, "
                  f"{it['bw_bytes'] / 1e6:.1f} MB/s, {it['iops']:.0f} requests/s, "
                  f"median {it['clat_ns']['percentile']['50.000000'] / 1e3:.0f} us")
    if job["error"]:
        sys.exit(f"{job['jobname']}: error {job['error']}")
END
}

run_fio() {
  run "fio --filename=$device --direct=1 --ioengine=libaio $* --output-format=json --output=fio.json"
  fio_summary fio.json
}

say "A sparse image of 1 GiB becomes a block device"
run "truncate --size 1G disk.img"
echo "${bold}\$ nbdring attach --connections 4 disk.img${plain}"
device=$(nbdring attach --connections 4 disk.img)
echo "$device"
run "lsblk --output NAME,SIZE,RO,LOG-SEC,DISC-MAX $device"

say "A file system on it, with files whose sums are known"
run "mkfs.ext4 -q $device"
run "mkdir mnt && mount $device mnt"
run "head -c 32M /dev/urandom > mnt/random.bin"
run "cp -r /usr/share/common-licenses mnt/"
run "(cd mnt && find . -type f -exec sha256sum {} +) > sums && wc -l < sums"
run "sync && echo 3 > /proc/sys/vm/drop_caches"
run "(cd mnt && sha256sum --check --quiet ../sums) && echo all sums are right"

say "What the engine did for that"
run "nbdring status $device"

say "Back to a plain image: every byte must be in the file"
run "umount mnt"
run "nbdring detach $device"
device=''
run "e2fsck -fn disk.img"
run "debugfs -R 'dump /random.bin random.bin' disk.img 2>/dev/null"
run "grep ./random.bin sums | sha256sum --check"
run "du --human-readable --apparent-size disk.img && du --human-readable disk.img"

say "Verified and measured: a fresh image, random writes with crc32c in each block, read back"
run "rm disk.img && truncate --size 1G disk.img"
echo "${bold}\$ nbdring attach --connections 4 disk.img${plain}"
device=$(nbdring attach --connections 4 disk.img)
echo "$device"
run_fio --name=verify --rw=randwrite --bsrange=4k-256k --iodepth=16 --size=64M --verify=crc32c
run_fio --name=read-4k --rw=randread --bs=4k --iodepth=32 --size=64M --runtime=3 --time_based
run_fio --name=read-256k --rw=read --bs=256k --iodepth=8 --size=64M --runtime=3 --time_based
run_fio --name=write-256k --rw=write --bs=256k --iodepth=8 --size=64M --runtime=3 --time_based
run "nbdring detach $device"
device=''
run "nbdring list"

echo
echo "${green}Everything verified.${plain}"
