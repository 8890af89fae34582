#!/bin/bash
# Behind a websocket a server that keeps what it is given in memory until it is told to flush: it is
# killed under writes, and so is the websocket's end, by turns. What was acknowledged is in the file after the next
# flush, and no request fails.

source "$(dirname "$0")/ws-client-lib.sh"
requires_libnbd

timeout 200 "$python" - "$work" "$NBDRING" "$ws_client/bridge.py" <<'END'
import os, random, subprocess, sys, time
import nbd

work, program, bridge_program = sys.argv[1:]
image, behind, front = work + "/image", work + "/behind", work + "/front"
size, block = 16 << 20, 16 << 10
blocks = size // block
os.truncate(os.open(image, os.O_RDWR | os.O_CREAT, 0o600), size)
random.seed(815)

def start_server():
    if os.path.exists(behind):
        os.unlink(behind)
    server = subprocess.Popen(["nbdkit", "-f", "-U", behind, "--filter=cache", "file", image,
                               "cache=writeback"])
    while not os.path.exists(behind):
        time.sleep(0.01)
    return server

def start_bridge(port):
    bridge = subprocess.Popen(["/usr/bin/python3", bridge_program, behind, "--port", str(port)],
                              stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
    return bridge, int(bridge.stdout.readline())

def end(process):
    process.kill()
    process.wait()

def connect():
    for _ in range(500):
        try:
            h = nbd.NBD()
            h.connect_unix(front)
            return h
        except nbd.Error:
            time.sleep(0.02)
    raise SystemExit("nbdring does not serve")

server = start_server()
bridge, port = start_bridge(0)
ring = subprocess.Popen([program, "serve", f"ws://127.0.0.1:{port}/", "--unix", front],
                        stderr=open(work + "/serve.log", "w"))
clients = [connect(), connect()]
content = lambda turn, n: (turn * blocks + n).to_bytes(8, "little") * (block // 8)
stored = [bytes(block)] * blocks
turn = 0
for kill in range(10):
    for step in range(5):
        turn += 1
        chosen = random.sample(range(blocks), 60)
        data = {n: nbd.Buffer.from_bytearray(bytearray(content(turn, n))) for n in chosen}
        cookies = [[], []]
        for i, n in enumerate(chosen):
            cookies[i % 2].append(clients[i % 2].aio_pwrite(data[n], n * block))
        if step == 2:
            end(bridge)
            if kill % 2 == 0:
                end(server)
                time.sleep(random.choice([0, 0.05, 0.2]))
                server = start_server()
            bridge, _ = start_bridge(port)
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
            assert file.read(block) == stored[n], f"kill {kill}: block {n} is not what was acknowledged"
for h in clients:
    h.shutdown()
ring.terminate()
assert ring.wait(20) == 0
end(bridge)
end(server)
END
grep -q 'wrote [1-9][0-9]* acknowledged writes' "$serve_log" || fail "nothing was written again"
pass "a killed server and a killed websocket lose nothing that was acknowledged"
