#!/bin/bash
# The engine and its server are killed at the same moment, under writes. The server forgets what it has not flushed, so
# what was acknowledged is nowhere but in what the keeper holds: it is all there afterwards, and no write has failed.
# Twice with many connections and twice with one; NBDRING_LONG=1: twenty times each.
# vm-timeout: 900
# vm-allow: (nbd[0-9]+: (Receive|Send) (control|data) failed|Dead connection|Connection timed out|shutting down sockets)
# vm-allow: (block nbd[0-9]+: )?(Other side returned|Possible stuck request)
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

kills=2
[[ -z ${NBDRING_LONG:-} ]] || kills=20

# Two writers, each with blocks of its own, so that each block's last acknowledged version is known.
cat >writers.py <<'END'
import mmap, os, random, sys, threading, time

device, image, stop = sys.argv[1:]
BLOCK, BLOCKS = 4096, 256
acknowledged = [0] * (2 * BLOCKS)
slowest = [0.0, 0.0]

def content(block, version):
    return (version * 65536 + block).to_bytes(8, "little") * (BLOCK // 8)

def write(number):
    disk = os.open(device, os.O_RDWR | os.O_DIRECT)
    buffer, version = mmap.mmap(-1, BLOCK), 0
    while not os.path.exists(stop):
        version += 1
        block = number * BLOCKS + random.randrange(BLOCKS)
        buffer[:] = content(block, version)
        begin = time.monotonic()
        if os.pwrite(disk, buffer, block * BLOCK) != BLOCK:
            os._exit(1)
        slowest[number] = max(slowest[number], time.monotonic() - begin)
        acknowledged[block] = version
        if random.randrange(200) == 0:
            os.fsync(disk)
    os.fsync(disk)
    os.close(disk)

threading.excepthook = lambda failure: (print(failure.exc_value, file=sys.stderr, flush=True), os._exit(1))
writers = [threading.Thread(target=write, args=(n,)) for n in range(2)]
for writer in writers:
    writer.start()
for writer in writers:
    writer.join()
for name, flags in ((device, os.O_DIRECT), (image, 0)):
    disk, buffer = os.open(name, os.O_RDONLY | flags), mmap.mmap(-1, BLOCK)
    for block, version in enumerate(acknowledged):
        os.preadv(disk, [buffer], block * BLOCK)
        if version and buffer[:] != content(block, version):
            found = int.from_bytes(buffer[:8], "little")
            sys.exit(f"{name}: block {block} has {found % 65536}, version {found // 65536}, not version {version}")
    os.close(disk)
print(f"{sum(map(bool, acknowledged))} blocks are right; the slowest write took {max(slowest):.1f} s")
END

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
  python3 writers.py "$device" image stop >writers.log 2>&1 &
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
