#!/bin/bash
# What a test may rely on: the driver, udev, a real file system, the host's programs, nothing written to the host.
# vm-memory: 1024
# vm-cpus: 1
set -euo pipefail

expect() { "$@" || { echo "not so: $*"; exit 1; }; }

expect test "$(nproc)" -eq 1
expect test "$(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)" -le 1024
expect test ! -e /sys/module/nbd
modprobe nbd
expect test -b /dev/nbd0
udevadm settle --timeout=20
expect test -e /run/udev/data/b43:0

dd if=/dev/zero of="$SCRATCH/file" bs=64k count=16 oflag=direct status=none
fallocate --punch-hole --offset 65536 --length 65536 "$SCRATCH/file"
expect test "$(stat -c %b "$SCRATCH/file")" -eq $((15 * 128))

expect test "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs
expect test -d /sys/kernel/debug/block
expect grep -q "LOOPBACK,UP" <(ip link show lo)

touch "$0.written-in-the-machine"
expect test -e "$0.written-in-the-machine"
