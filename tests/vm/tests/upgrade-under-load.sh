#!/bin/bash
# A device moves to another program under verified writes: no I/O error, no connection that the driver sees die, each
# stall printed. Programs that are none, or that die in the middle of it, leave a device that serves on.
# NBDRING_LONG=1: one hundred upgrades instead of ten.
# vm-timeout: 3000
# vm-allow: (nbd[0-9]+: (Receive|Send) (control|data) failed|Connection timed out|shutting down sockets)
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

upgrades=5
[[ -z ${NBDRING_LONG:-} ]] || upgrades=50

deaths() { dmesg | grep -c 'Receive control failed\|Dead connection\|Connection timed out' || true; }

start_fio() {
  fio --name=writes --filename="$device" --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bs=4k --size=4M \
    --time_based --runtime="$1" --rate=2m --verify=crc32c --verify_fatal=1 --verify_backlog=256 --randseed=3 \
    >fio.log 2>&1 &
  writer=$!
  sleep 2
}
stop_fio() {
  kill -0 "$writer" 2>/dev/null || wait "$writer" || fail "fio ended: $(tail -n 20 fio.log)"
  kill -INT "$writer" 2>/dev/null || true
  wait "$writer" || true
  ! grep -qiE 'verify:|error|io_u' <(grep -v 'err= 0' fio.log) || fail "fio: $(cat fio.log)"
}

under_load() {
  local i before line engine keeper
  before=$(deaths)
  start_fio 600
  for ((i = 1; i <= upgrades; i++)); do
    engine=$(recorded pid) keeper=$(recorded keeper)
    line=$("$NBDRING" upgrade "$device") || fail "upgrade $i of $1: $line; $(cat /run/nbdring/nbd"$number".log)"
    echo "$1: $line"
    [[ $(recorded pid) != "$engine" && $(recorded keeper) == "$keeper" ]] ||
      fail "the engine is still $engine, or the keeper another"
    kill -0 "$writer" || fail "fio ended: $(tail -n 20 fio.log)"
    sleep 0.3
  done
  stop_fio
  is "$1: connections that died" "$(($(deaths) - before))" 0
  is "$1: errors" "$(counted read errors)+$(counted write errors)" 0+0
}

# A program that says it is one, and then is none.
bad_program() {
  printf '#!/bin/bash\n%s\n' "$2" >"bad-$1"
  chmod 755 "bad-$1"
}

refuses_bad_programs() {
  bad_program silent 'sleep 100'
  bad_program version 'echo nbdring 9.9.9; exit 0'
  local before
  before=$(deaths)
  start_fio 200
  refused 1 'is no nbdring' "$NBDRING" upgrade "$device" --program /bin/false
  refused 1 'is no nbdring' "$NBDRING" upgrade "$device" --program "$PWD/bad-version"
  refused 1 'is no nbdring' "$NBDRING" upgrade "$device" --program "$PWD/bad-silent"
  stop_fio
  is "connections that died" "$(($(deaths) - before))" 0
  "$NBDRING" upgrade "$device"
}

truncate -s 32M image remote-image
make_psk
start_server nbdkit -f -p 10809 --tls=require --tls-psk="$SCRATCH/keys/keys.psk" file remote-image
wait_for_port 10809

attach -c 2 image
under_load file
refuses_bad_programs
detach "$device"
attach -c 2 "nbds://alice@localhost/?tls-psk-file=$SCRATCH/keys/keys.psk"
under_load remote
detach "$device"

# What is in memory only moves along.
attach -c 1 memory:16M
dd if=/dev/urandom of=random bs=1M count=8 status=none
dd if=random of="$device" bs=1M oflag=direct status=none
"$NBDRING" upgrade "$device"
cmp -n 8388608 random "$device" || fail "memory: lost its bytes in an upgrade"
kill -9 "$(recorded pid)"
sleep 1
echo 3 >/proc/sys/vm/drop_caches
cmp -n 8388608 random "$device" || fail "memory: lost its bytes with its engine"
detach "$device"
is leftovers "$(leftovers)" ''
echo "ok: upgrades"
