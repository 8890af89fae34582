#!/bin/bash
# What shields the processes of a device when memory is short: read back from the kernel, thread by thread, for a file,
# for a TLS remote, and for a server that the engine has started, which must not be killed either.
# vm-timeout: 300
source "$(dirname "$0")/memory-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

memalloc_noio=$((0x80000)) local_throttle=$((0x100000))  # what PR_SET_IO_FLUSHER sets: include/linux/sched.h

# Threads that no request waits for, whatever happens.
is_aside() { [[ $1 == nbdring-child || $1 == nbdring-log ]]; }

flushers_of() {
  local task name flags count=0
  for task in "/proc/$1/task/"*; do
    name=$(cat "$task/comm")
    flags=$(sed 's/.*) //' "$task/stat" | cut -d ' ' -f 7)
    if (((flags & local_throttle) && (flags & memalloc_noio))); then
      count=$((count + 1))
    elif ! is_aside "$name"; then
      fail "$name is no I/O flusher (flags $flags)"
    fi
  done
  echo "$count"
}

# shielded NAME LANES
shielded() {
  local engine keeper count
  read -r engine keeper < <(processes_of_device)
  count=$(flushers_of "$engine")
  ((count >= $2)) || fail "$1: only $count of its threads are I/O flushers"
  echo "ok: $1: $count threads are I/O flushers: $(cat /proc/"$engine"/task/*/comm | sort | uniq -c | xargs)"
  local process
  [[ -z $keeper ]] || (($(flushers_of "$keeper") == 1)) || fail "$1: the keeper is no I/O flusher"
  for process in $engine $keeper; do
    is "$1: oom_score_adj of $process" "$(cat "/proc/$process/oom_score_adj")" -1000
    (($(awk '/^VmLck/ { print $2 }' "/proc/$process/status") > 0)) || fail "$1: nothing of $process is locked"
  done
}

truncate --size 64M image
attach --connections 2 image
shielded "a file" 2
detach "$device"

make_psk
start_server nbdkit -f -p 10809 --tls=require --tls-psk="$SCRATCH/keys/keys.psk" file image
wait_for_port 10809
attach --connections 2 "nbds://alice@localhost/?tls-psk-file=$SCRATCH/keys/keys.psk"
dd if="$device" of=/dev/null bs=1M count=8 iflag=direct status=none
shielded "a TLS remote" 3
detach "$device"

stop_servers
attach "exec:nbdkit file $SCRATCH/image"
server=$(pgrep -x nbdkit | xargs)
[[ $server =~ ^[0-9]+$ ]] || fail "the engine has started '$server', not one server"
is "oom_score_adj of the server" "$(cat "/proc/$server/oom_score_adj")" -1000
detach "$device"

is "leftovers" "$(leftovers)" ""
