#!/bin/bash
# The engine and its server are killed at the same moment, under writes. The server forgets what it has not flushed, so
# what was acknowledged is nowhere but in what the keeper holds: it is all there afterwards, and no write has failed.
# Twice with many connections and twice with one; NBDRING_LONG=1: twenty times each.
# vm-timeout: 900
# check-kernel: 6.12
# vm-allow: (nbd[0-9]+: (Receive|Send) (control|data) failed|Dead connection|Connection timed out|shutting down sockets)
# vm-allow: (block nbd[0-9]+: )?(Other side returned|Possible stuck request)
source "$(dirname "$0")/remote-functions.sh"
writers_program=$(realpath "$(dirname "$0")/crash-writers.py")
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

kills=2
[[ -z ${NBDRING_LONG:-} ]] || kills=20

start_remote() {
  rm -f server.sock
  start_server nbdkit -f -U "$SCRATCH/server.sock" "${filters[@]}" file image "${settings[@]}"
  wait_for_socket "$SCRATCH/server.sock"
}
engine() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["pid"])' "/run/nbdring/nbd$number.json"; }
has_another_engine() { [[ $(engine) != "$1" ]] && "$NBDRING" status "$device" >/dev/null 2>&1; }

session() {
  local i former
  rm -f image stop
  truncate -s 2M image
  start_remote
  attach -c 2 --timeout 3 "nbd+unix:///?socket=$SCRATCH/server.sock"
  python3 "$writers_program" "$device" stop image >writers.log 2>&1 &
  local writers=$!
  for ((i = 1; i <= kills; i++)); do
    sleep 3
    former=$(engine)
    kill -KILL "$former" "${servers[@]}"
    stop_servers
    sleep 0.5
    start_remote
    until_true 60 has_another_engine "$former" || fail "no engine: $(cat /run/nbdring/nbd"$number".log)"
    kill -0 "$writers" || fail "$1: $(cat writers.log)"
  done
  sleep 12
  touch stop
  wait "$writers" || fail "$1, $kills kills of engine and server: $(cat writers.log)"
  echo "$1, $kills kills of engine and server: $(cat writers.log)"
  "$NBDRING" status "$device"
  is "$1: errors" "$(counted read errors)+$(counted write errors)+$(counted flush errors)" 0+0+0
  detach "$device"
  stop_servers
  is leftovers "$(leftovers)" ''
}

filters=(--filter=cache)
settings=(cache=writeback)
session "many connections"
filters+=(--filter=multi-conn)
settings+=(multi-conn-mode=disable)
session "one connection"
echo "ok: nothing that was acknowledged is lost"
