#!/bin/bash
# `detach --force` ends within 5 s whatever has become of the device, its users' I/O fails, and generic netlink answers
# meanwhile: a server that is away, an engine or a keeper that is stopped, a backend that hangs, a file system in use,
# an engine that dies again and again, and what is left where nobody is left.
# vm-timeout: 600
# vm-allow: (Buffer I/O error|I/O error, dev nbd|blk_update_request|Other side returned error)
# vm-allow: nbd[0-9]+: (Receive|Send) (control|data|disconnect) failed
# vm-allow: (Dead connection|Connection timed out|Possible stuck request|shutting down sockets)
# vm-allow: (EXT4-fs|JBD2|Aborting journal|lost async page write|Attempted send on invalid socket)
source "$(dirname "$0")/detach-functions.sh"
cd "$SCRATCH"

limit=6000  # 5 s, and what an emulated machine on a busy host costs
truncate --size 64M image
keeper_of() { record_of keeper; }
engine_of() { record_of pid; }
stop_process() { (($1 == 0)) || kill -STOP "$1"; }
kill_process() { (($1 == 0)) || kill -KILL "$1"; }

server_is_away() {
  rm -f "$SCRATCH/nbd.sock"
  nbdkit -f -U "$SCRATCH/nbd.sock" file image &
  local server=$!
  wait_for_socket "$SCRATCH/nbd.sock"
  attach --connections "$1" "nbd+unix:///?socket=$SCRATCH/nbd.sock"
  kill -KILL "$server"
  wait "$server" || true
  start_writers
  sleep 1
  ends_in_time "server away, $1 connections" "$limit"
  writers_end
  is_gone
}

# stopped WHO CONNECTIONS
stopped() {
  attach --connections "$2" image
  local engine keeper
  engine=$(engine_of)
  keeper=$(keeper_of)
  [[ $1 != *engine* ]] || stop_process "$engine"
  [[ $1 != *keeper* ]] || stop_process "$keeper"
  start_writers
  sleep 1
  ends_in_time "stopped: $1, $2 connections" "$limit"
  writers_end
  is_gone
  is "processes after it" "$(pgrep '^nbdring' || true)" ""
}

# The file's own file system is frozen: whoever writes to it hangs in the kernel, and cannot be killed.
backend_hangs() {
  modprobe loop
  truncate --size 200M below
  mkfs.ext4 -q below
  mkdir -p frozen
  mount -o loop below frozen
  truncate --size 64M frozen/image
  attach --connections 2 frozen/image
  fsfreeze --freeze frozen
  start_writers
  sleep 1
  ends_in_time "backend frozen" "$limit"
  writers_end
  fsfreeze --unfreeze frozen
  is_gone
  until_true 20 bash -c "! pgrep '^nbdring' >/dev/null" || fail "the engine stays although its backend answers"
  umount frozen
}

in_use() {
  attach image
  mkfs.ext4 -q "$device"
  mkdir -p mnt
  mount "$device" mnt
  dd if=/dev/zero of=mnt/file bs=1M count=16 status=none
  ends_in_time "mounted" "$limit"
  grep -q 'until its last user has closed it' detach.log || fail "nothing says that it is held"
  umount mnt
  is_gone
}

# Whoever serves the device dies ten times a second.
dies_again_and_again() {
  attach --connections 2 image
  [[ $(keeper_of) != 0 ]] || return 0
  local keeper killer
  keeper=$(keeper_of)
  while :; do
    pkill -KILL -P "$keeper" 2>/dev/null || true
    sleep 0.1
  done &
  killer=$!
  sleep 1
  ends_in_time "dies again and again" "$limit"
  kill "$killer"
  wait "$killer" 2>/dev/null || true
  is_gone
}

nobody_is_left() {
  attach --connections "$2" --recovery-window 20 image
  local engine keeper
  engine=$(engine_of)
  keeper=$(keeper_of)
  kill_process "$keeper"
  kill_process "$engine"
  until_true 10 bash -c "! pgrep '^nbdring' >/dev/null"
  [[ $1 != "no record" ]] || rm -f /run/nbdring/nbd*
  start_writers
  sleep 0.5
  ends_in_time "nobody is left, $1" "$limit"
  writers_end
  is_gone
}

server_is_away 1
server_is_away 4
stopped engine 1
stopped engine 4
stopped keeper 2
stopped "engine and keeper" 2
backend_hangs
in_use
dies_again_and_again
nobody_is_left "a record" 2
nobody_is_left "no record" 2

# Without --force, and without users, what is left is cleaned up too.
attach image
engine=$(engine_of)
kill_process "$(keeper_of)"
kill_process "$engine"
until_true 10 bash -c "! pgrep '^nbdring' >/dev/null"
detach "$device"
is_gone
is "leftovers" "$(leftovers)" ""
