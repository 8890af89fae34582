#!/bin/bash
# A remote that is away for longer than the driver's timer: the driver gives connection after connection up, each gets
# another, and nobody sees an error. With 1, 2 and 4 connections under verified fio; NBDRING_LONG=1: also for 100 s.
# vm-timeout: 900
# vm-allow: block nbd0: (Connection timed out|Receive control failed|Send (control|data) failed|Dead connection)
# vm-allow: blocked for more than
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

status_value() { "$NBDRING" status "$device" --json | python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }
receivers() { cat /proc/[0-9]*/comm 2>/dev/null | grep -c "+nbd$number-recv\$" || true; }
is_alive() { kill -0 "$1" 2>/dev/null; }

truncate -s 32M image
start_server nbdkit -f -U "$SCRATCH/server.sock" --threads 32 file image
wait_for_socket "$SCRATCH/server.sock"
server=${servers[0]}

# away SECONDS CONNECTIONS TIMER
away() {
  local seconds=$1 connections=$2 timer=$3 fio
  attach --connections "$connections" --timeout "$timer" "nbd+unix:///?socket=$SCRATCH/server.sock"
  fio --name=writes --filename="$device" --direct=1 --ioengine=libaio --iodepth=8 --rw=randrw --bs=16k --size=8M \
    --rate=1m,1m --time_based --runtime=$((seconds + 6)) --verify=crc32c --verify_fatal=1 --verify_backlog=64 \
    --randseed="$connections" >fio.log 2>&1 &
  fio=$!
  sleep 2
  kill -STOP "$server"
  sleep "$seconds"
  is_alive "$fio" || fail "fio ended while the server was away: $(tail -n 20 fio.log)"
  kill -CONT "$server"
  wait "$fio" || fail "errors after $seconds s without server: $(tail -n 20 fio.log)"
  until_true 15 receivers_are "$connections" || fail "$(receivers) of $connections connections are received"
  echo "lost $(status_value lost_connections), refilled $(status_value refilled)"
  (($(status_value lost_connections) > 0)) || fail "the driver's timer did not expire: nothing was tried"
  is "connections lost and not replaced" "$(($(status_value lost_connections) - $(status_value refilled)))" 0
  is "errors" "$(counted read errors)+$(counted write errors)+$(counted flush errors)" 0+0+0
  detach "$device"
}
receivers_are() { (($(receivers) == $1)); }

for connections in 1 2 4; do
  away 9 "$connections" 3
  echo "ok: $connections connections, 9 s away with a timer of 3 s"
done
if [[ -n ${NBDRING_LONG:-} ]]; then
  away 100 2 5
  echo "ok: 100 s away with a timer of 5 s"
fi
is leftovers "$(leftovers)" ''
