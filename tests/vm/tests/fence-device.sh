#!/bin/bash
# No write of a connection that the driver gave up lands after a newer one. The server holds the first copy of a write
# for longer than the driver's timer; the driver sends the write again on another connection; then the block is written
# anew. What is there at the end must be the newer bytes, also when the server has done all that it was ever sent.
# vm-timeout: 300
# vm-allow: block nbd0: (Connection timed out|Receive control failed|Send (control|data) failed|Dead connection)
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

truncate -s 1M image
# The first write to the marked block waits for as many seconds as the file `hold` says.
cat >server.py <<'END'
import os, time
import nbdkit

API_VERSION = 2
image = os.open("/scratch/image", os.O_RDWR)


def thread_model():
    return nbdkit.THREAD_MODEL_PARALLEL


def open(readonly):
    return 0


def get_size(h):
    return 1 << 20


def can_multi_conn(h):
    return True


def pread(h, buf, offset, flags):
    buf[:] = os.pread(image, len(buf), offset)


def pwrite(h, buf, offset, flags):
    data = bytes(buf)
    held = False
    if offset == 65536:
        try:
            os.rename("/scratch/hold", "/scratch/held")
            held = True
            with os.fdopen(os.open("/scratch/held", os.O_RDONLY)) as seconds:
                time.sleep(float(seconds.read()))
        except FileNotFoundError:
            pass
    os.pwrite(image, data, offset)
    if held:
        os.write(2, b"late: " + data[:3] + b"\n")


def flush(h, flags):
    os.fsync(image)
END

start_server nbdkit -f -U "$SCRATCH/server.sock" --threads 16 python server.py
wait_for_socket "$SCRATCH/server.sock"

block_of() { head -c 4096 /dev/zero | tr '\0' "$1"; }
write() { dd of="$device" bs=4096 seek=16 oflag=direct conv=notrunc,fsync status=none; }

# newer_wins CONNECTIONS: of a held write and the one after it
newer_wins() {
  attach --connections "$1" --timeout 3 "nbd+unix:///?socket=$SCRATCH/server.sock"
  echo 9 >hold
  local start=$SECONDS
  block_of a | write || fail "the held write failed"
  echo "the held write took $((SECONDS - start)) s"
  [[ -e held ]] || fail "the server held nothing"
  rm -f held
  block_of b | write || fail "the newer write failed"
  sleep $((start + 14 - SECONDS > 0 ? start + 14 - SECONDS : 0))
  grep -q 'late: aaa' server.log || fail "the held write never came to its end"
  is "what the server has" "$(dd if=image bs=4096 skip=16 count=1 status=none | tr -d b | wc -c)" 0
  is "what the device says" "$(dd if="$device" bs=4096 skip=16 count=1 iflag=direct status=none | tr -d b | wc -c)" 0
  "$NBDRING" status "$device" --json | python3 -c '
import json, sys
status = json.load(sys.stdin)
assert status["fenced"] > 0, "no change waited for the lost one: nothing was tried"
print("lost", status["lost_connections"], "refilled", status["refilled"], "waited", status["fenced"])'
  detach "$device"
  : >server.log
}

for connections in 1 2 4; do
  newer_wins "$connections"
  echo "ok: $connections connections"
done
is leftovers "$(leftovers)" ''
