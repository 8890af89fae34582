#!/bin/bash
# The engine is killed under writes to what it has in its own memory: memory:, a cow without a file, a cow whose file's
# map is older than what was acknowledged. The next engine finds all of it with the keeper.
# Two kills each; NBDRING_LONG=1: twenty.
# vm-timeout: 600
# check-kernel: 6.1
# vm-allow: (nbd[0-9]+: (Receive|Send) (control|data) failed|Dead connection|Connection timed out|shutting down sockets)
# vm-allow: (block nbd[0-9]+: )?(Other side returned|Possible stuck request)
source "$(dirname "$0")/device-functions.sh"
writers_program=$(realpath "$(dirname "$0")/crash-writers.py")
trap show_leftovers_on_failure EXIT
cd "$SCRATCH"

kills=2
[[ -z ${NBDRING_LONG:-} ]] || kills=20

engine() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["pid"])' "/run/nbdring/nbd$number.json"; }
has_another_engine() { [[ $(engine) != "$1" ]] && "$NBDRING" status "$device" >/dev/null 2>&1; }

session() {
  local i former
  rm -f stop
  attach -c 2 --timeout 2 "$@"
  python3 "$writers_program" "$device" stop >writers.log 2>&1 &
  local writers=$!
  for ((i = 1; i <= kills; i++)); do
    sleep 2
    former=$(engine)
    kill -KILL "$former"
    until_true 60 has_another_engine "$former" || fail "no engine: $(cat /run/nbdring/nbd"$number".log)"
    kill -0 "$writers" || fail "$*: $(cat writers.log)"
  done
  sleep 5
  touch stop
  wait "$writers" || fail "$*, $kills kills: $(cat writers.log)"
  echo "$*, $kills kills: $(cat writers.log)"
  is "$*: errors" "$(counted read errors)+$(counted write errors)+$(counted flush errors)" 0+0+0
  detach "$device"
  is leftovers "$(leftovers)" ''
}

truncate -s 4M base
session memory:4M
session base --layer cow
session base --layer "cow=$SCRATCH/overlay"
cmp -n 4194304 base /dev/zero || fail "the base was written"
echo "ok: what was in memory outlives the engine"
