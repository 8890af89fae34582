#!/bin/bash
# SIGKILL while four clients write: a new server of the same file can be started at once, and finds
# every write that was answered. What the kernel still had of the old one never lands after that.

source "$(dirname "$0")/lib.sh"
requires_libnbd

session() {
  "$python" - "$socket" "$serve_pid" "$NBDRING" "$image" "$backend" <<'END'
import multiprocessing, os, signal, subprocess, sys, time
import nbd

path, pid, program, image, cache = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
part, block = 8 << 20, 256 << 10
blocks = part // block

def connect(path):
    h = nbd.NBD()
    h.connect_unix(path)
    return h

# The oldest turn in a block: one that was being written when the end came may have parts of two.
def oldest(data):
    return min(memoryview(data).cast("Q"))

# Turn after turn overwrites its part; returns the last turn that was answered whole.
def client(number):
    h, turn = connect(path), 0
    try:
        while True:
            data = nbd.Buffer.from_bytearray(bytearray((turn + 1).to_bytes(8, sys.byteorder) * (block // 8)))
            cookies = [h.aio_pwrite(data, number * part + n * block) for n in range(blocks)]
            while h.aio_in_flight() > 0:
                h.poll(-1)
            for cookie in cookies:
                h.aio_command_completed(cookie)
            turn += 1
    except nbd.Error:
        return turn

with multiprocessing.Pool(4) as pool:
    results = pool.map_async(client, range(4), chunksize=1)
    time.sleep(1.5)
    os.kill(pid, signal.SIGKILL)
    server = subprocess.Popen([program, "serve", f"file:{image}?cache={cache}", "--unix", path + "2"])
    answered = results.get(20)

h = None
while h is None:
    assert server.poll() is None, "the new server could not start"
    try:
        h = connect(path + "2")
    except nbd.Error:  # it does not listen yet
        time.sleep(0.01)
seen = [bytes(h.pread(block, n * block)) for n in range(4 * blocks)]
for n, data in enumerate(seen):
    turn = oldest(data)
    assert turn >= answered[n // blocks] > 0, f"block {n}: turn {turn}, answered {answered[n // blocks]}"
time.sleep(0.5)
assert seen == [bytes(h.pread(block, n * block)) for n in range(4 * blocks)], "a late write landed"
h.shutdown()
server.terminate()
assert server.wait(20) == 0
END
}

for backend in writeback none; do
  for _ in 1 2; do
    start_backend "$backend" 32M
    disown "$serve_pid" # bash need not tell that it was killed
    session
    serve_pid=''
  done
done
pass "SIGKILL: the next server starts at once and finds every answered write"
