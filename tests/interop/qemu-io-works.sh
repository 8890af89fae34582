#!/bin/bash
# qemu-io writes, zeroes, discards, flushes, with FUA, unaligned and asynchronously; beyond the end
# is refused.

source "$(dirname "$0")/lib.sh"
requires qemu-io

# Every line's pattern is verified by a read with -P; qemu-io says "Pattern verification failed".
io() {
  local command arguments=() output
  for command in "$@"; do arguments+=(-c "$command"); done
  output=$(qemu-io -f raw --cache=none "${arguments[@]}" "$uri" 2>&1) || fail "$backend: $output"
  ! grep -qiE 'failed|error|invalid' <<<"$output" || fail "$backend: $output"
}

session() {
  io 'write -P 0x11 0 1M' 'write -P 0x22 64k 4k' 'read -P 0x11 0 64k' 'read -P 0x22 64k 4k' \
    'read -P 0x11 68k 956k'
  io 'write -f -P 0x33 1M 128k' 'read -P 0x33 1M 128k'        # FUA
  io 'write -z 0 32k' 'read -P 0 0 32k' 'read -P 0x11 32k 32k' # zeroes that may leave a hole
  io 'write -z -u 32k 16k' 'read -P 0 32k 16k'                # ... that must, if they can
  io 'write -z -f 48k 16k' 'read -P 0 48k 16k' flush
  io 'write -P 0x44 4M 4M' 'discard 5M 1M' 'read -P 0x44 4M 1M' 'read -P 0 5M 1M' 'read -P 0x44 6M 2M'
  io 'write -P 0x55 10000 3000' 'read -P 0x55 10000 3000' 'read -P 0 13000 1000' # read-modify-write
  io 'aio_write -P 0x66 16M 2M' 'aio_write -P 0x77 18M 2M' 'aio_write -z 20M 1M' aio_flush \
    'aio_read -P 0x66 16M 2M' 'aio_read -P 0x77 18M 2M' 'aio_read -P 0 20M 1M' aio_flush
  io 'write -P 0x88 67107840 1024' 'read -P 0x88 67107840 1024' # up to the last byte
  io 'write -P 0x99 32M 32M' 'read -P 0x99 32M 32M'           # the largest there is

  for command in 'read 64M 4k' 'write 64M 4k' 'read 67104768 8k' 'write 67104768 8k'; do
    ! qemu-io -f raw -c "$command" "$uri" >"$work/out" 2>&1 || fail "$backend: '$command' succeeded"
  done
}

on_each_backend 64M session
pass "qemu-io: write, zero, discard, flush, FUA, unaligned, aio"
