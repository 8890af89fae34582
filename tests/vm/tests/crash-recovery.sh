#!/bin/bash
# The engine is killed, again and again, under verified writes and under a mounted file system: no I/O error, every byte
# right. Then its keeper, and both of them, and an engine that is still taking over.
# Two kills for some combinations of backend and connections; NBDRING_LONG=1: twenty for each of them.
# vm-timeout: 3500
# vm-allow: (nbd[0-9]+: (Receive|Send) (control|data) failed|Dead connection|Connection timed out|shutting down sockets)
# vm-allow: (block nbd[0-9]+: )?(Other side returned|Possible stuck request)
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

kills=2
[[ -z ${NBDRING_LONG:-} ]] || kills=20
timeout=2

is_gone() { ! kill -0 "$1" 2>/dev/null; }
stall() {
  "$NBDRING" status "$device" --json | python3 -c '
import json, sys
stall = json.load(sys.stdin)["last_stall"]
print(stall["ms"], "ms, in flight", stall["in_flight_ms"], "ms, number", stall["count"])'
}
has_another_engine() { [[ $(recorded pid) != "$1" ]] && "$NBDRING" status "$device" >/dev/null 2>&1; }

# kill_engine SIGNAL: and waits for the next one.
kill_engine() {
  local engine
  engine=$(recorded pid)
  kill "-$1" "$engine"
  until_true 30 has_another_engine "$engine" || fail "no engine after signal $1: $(cat /run/nbdring/nbd"$number".log)"
}

# under_fio: the writer's words are in fio.log; it is done when $kills engines have died.
under_fio() {
  local i worst=0 max
  fio --name=writes --filename="$device" --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=4k --size=4M \
    --time_based --runtime=$((kills * (timeout + 2) + 2)) --rate=1m --verify=crc32c --verify_fatal=1 \
    --verify_backlog=256 --randseed=3 --output-format=json --output=fio.json 2>fio.log &
  local writer=$!
  sleep 2
  for ((i = 1; i <= kills; i++)); do
    kill_engine 9
    # What was on its way comes back with the driver's timer.
    sleep $((timeout + 2))
    echo "$1: kill $i: stall $(stall)"
  done
  wait "$writer" || fail "fio on $1: $(cat fio.log; tail -n 20 fio.json)"
  max=$(python3 -c '
import json
job = json.load(open("fio.json"))["jobs"][0]
print(max(job["write"]["clat_ns"]["max"], job["read"]["clat_ns"]["max"]) // 1000000)')
  echo "$1: fio waited at most $max ms"
  # On a host that is busy the driver's timer ends connections that have just been made, too.
  ((max <= (timeout + 10) * 1000)) || fail "a request waited $max ms"
}

under_file_system() {
  local i
  mkfs.ext4 -q "$device"
  mkdir -p mnt
  mount "$device" mnt
  (
    for ((n = 0; ; n++)); do
      head -c 40000 /dev/urandom >"mnt/file$((n % 50))" && sha256sum "mnt/file$((n % 50))" >"mnt/sum$((n % 50))" &&
        sync -f mnt || { echo failed >writer.failed; break; }
      [[ ! -e writer.stop ]] || break
    done
  ) &
  local writer=$!
  for ((i = 1; i <= kills; i++)); do
    sleep 1
    kill_engine 9
    echo "$1: ext4, kill $i: stall $(stall)"
  done
  sleep $((timeout + 2))
  touch writer.stop
  wait "$writer"
  [[ ! -e writer.failed ]] || fail "the writer on $1 saw an error"
  rm writer.stop
  umount mnt
  e2fsck -fn "$device" >e2fsck.log 2>&1 || fail "$(cat e2fsck.log)"
  mount "$device" mnt
  for ((i = 0; i < 50; i++)); do
    [[ ! -e mnt/sum$i ]] || sha256sum --check --status "mnt/sum$i" || fail "file$i on $1 has other bytes"
  done
  umount mnt
}

no_errors() {
  # What the engine counts has the requests in it that the driver sent again on another connection.
  is "$1: I/O errors" "$(dmesg | grep -ci 'I/O error' || true)" 0
}

backend_of() {
  case $1 in
    file) truncate -s 32M image; echo image ;;
    remote) echo "nbds://alice@localhost/?tls-psk-file=$SCRATCH/keys/keys.psk" ;;
  esac
}

make_psk
truncate -s 32M remote-image
start_server nbdkit -f -p 10809 --tls=require --tls-psk="$SCRATCH/keys/keys.psk" file remote-image
wait_for_port 10809

combinations=('file 1' 'file 4' 'remote 2')
[[ -z ${NBDRING_LONG:-} ]] || combinations=({file,remote}\ {1,2,4})
for combination in "${combinations[@]}"; do
  read -r backend connections <<<"$combination"
  attach -c "$connections" --timeout "$timeout" "$(backend_of "$backend")"
  under_fio "$backend, $connections connections"
  under_file_system "$backend, $connections connections"
  no_errors "$backend, $connections connections"
  detach "$device"
  is leftovers "$(leftovers)" ''
done
echo "ok: the engine may die"
