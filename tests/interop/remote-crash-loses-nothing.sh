#!/bin/bash
# A remote server that keeps what it is given in memory until it is told to flush is killed twenty
# times under writes. Each write that was acknowledged is in its file after the next flush, and no
# write or read fails, although the server is gone for a while each time.

source "$(dirname "$0")/lib.sh"
requires nbdkit
requires_libnbd

session() {
  timeout 300 "$python" - "$work" "$NBDRING" "$1" <<'END'
import os, random, signal, subprocess, sys, time
import nbd

work, program, multi = sys.argv[1:]
image, remote, front = work + "/image", work + "/remote", work + "/front"
size, block = 16 << 20, 16 << 10
blocks = size // block
os.truncate(os.open(image, os.O_RDWR | os.O_CREAT, 0o600), 0)
os.truncate(image, size)
random.seed(4711)

def start_remote():
    if os.path.exists(remote):
        os.unlink(remote)
    filters = ["--filter=cache"] + ([] if multi == "yes" else ["--filter=multi-conn"])
    options = ["cache=writeback"] + ([] if multi == "yes" else ["multi-conn-mode=disable"])
    return subprocess.Popen(["nbdkit", "-f", "-U", remote, *filters, "file", image, *options])

def connect():
    for _ in range(500):
        try:
            h = nbd.NBD()
            h.connect_unix(front)
            return h
        except nbd.Error:
            time.sleep(0.02)
    raise SystemExit("nbdring does not serve")

server = start_remote()
while not os.path.exists(remote):
    time.sleep(0.01)
ring = subprocess.Popen([program, "serve", f"nbd+unix:///?socket={remote}", "--unix", front],
                        stderr=open(work + "/serve.log", "w"))
clients = [connect(), connect()]
assert clients[0].can_multi_conn()
content = lambda turn, n: (turn * blocks + n).to_bytes(8, "little") * (block // 8)
stored = [bytes(block)] * blocks
turn = 0
for kill in range(20):
    killed = False
    for step in range(6):
        turn += 1
        chosen = random.sample(range(blocks), 60)
        data = {n: nbd.Buffer.from_bytearray(bytearray(content(turn, n))) for n in chosen}
        cookies = [[], []]
        for i, n in enumerate(chosen):
            cookies[i % 2].append(clients[i % 2].aio_pwrite(data[n], n * block))
        if step == 3:
            server.send_signal(signal.SIGKILL)
            server.wait()
            time.sleep(random.choice([0, 0.05, 0.2]))
            server = start_remote()
        for h, mine in zip(clients, cookies):
            while h.aio_in_flight() > 0:
                h.poll(-1)
            for cookie in mine:
                h.aio_command_completed(cookie)
        for n in chosen:
            stored[n] = content(turn, n)
        n = random.choice(chosen)
        assert clients[kill % 2].pread(block, n * block) == stored[n], f"read of block {n}"
    clients[kill % 2].flush()
    with open(image, "rb") as file:
        for n in range(blocks):
            found = file.read(block)
            assert found == stored[n], f"kill {kill}: block {n} is not what was acknowledged"
for h in clients:
    h.shutdown()
ring.terminate()
assert ring.wait(20) == 0
server.terminate()
server.wait()
END
}

session yes
cp "$serve_log" "$work/first.log"
session no
grep -q 'wrote [1-9][0-9]* acknowledged writes' "$serve_log" || fail "nothing was written again"
pass "a killed server loses nothing that was acknowledged, with many connections and with one"
