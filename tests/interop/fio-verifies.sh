#!/bin/bash
# fio's nbd engine writes and verifies checksums: 4 KiB to 1 MiB, depth 1 to 64, one and four jobs.

source "$(dirname "$0")/lib.sh"
requires fio
fio --enghelp | grep -qw nbd || skip "this fio has no nbd engine"

# BLOCKS DEPTH JOBS BYTES-PER-JOB
verify() {
  local output
  output=$(cd "$work" && fio --name=verify --ioengine=nbd --uri="$uri" --rw=randrw --rwmixread=30 --bsrange="$1" \
    --iodepth="$2" --numjobs="$3" --size="$4" --offset_increment="$4" --verify=crc32c --verify_fatal=1 \
    --do_verify=1 --verify_backlog=64 --randseed=7 --group_reporting --output-format=terse 2>&1) ||
    fail "$backend, blocks $1, depth $2, $3 jobs: $output"
}

session() {
  verify 4k-4k 1 1 4M
  verify 4k-4k 64 1 16M
  verify 4k-1M 16 1 48M
  verify 1M-1M 4 1 48M
  verify 4k-64k 32 4 16M
}

on_each_backend 64M session
pass "fio: crc32c verified on every backend"
