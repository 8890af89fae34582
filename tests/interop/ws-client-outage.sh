#!/bin/bash
# Behind a websocket a server that keeps what it is given in memory until it is told to flush: it is
# killed under writes, and so is the websocket's end, by turns. What was acknowledged is in the file after the next
# flush, and no request fails.

source "$(dirname "$0")/ws-client-lib.sh"
requires_libnbd

PYTHONPATH=$(dirname "$0") timeout 200 "$python" - "$work" "$NBDRING" "$ws_client/bridge.py" <<'END'
import os, random, subprocess, sys, time
from outage_writers import Writers, make_image

work, program, bridge_program = sys.argv[1:]
image, behind, front = work + "/image", work + "/behind", work + "/front"
make_image(image)
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

server = start_server()
bridge, port = start_bridge(0)
ring = subprocess.Popen([program, "serve", f"ws://127.0.0.1:{port}/", "--unix", front],
                        stderr=open(work + "/serve.log", "w"))
writers = Writers(front, image)

def break_it(kill):
    global server, bridge
    end(bridge)
    if kill % 2 == 0:
        end(server)
        time.sleep(random.choice([0, 0.05, 0.2]))
        server = start_server()
    bridge, _ = start_bridge(port)

for kill in range(10):
    for step in range(5):
        writers.write(kill % 2, (lambda: break_it(kill)) if step == 2 else lambda: None)
    writers.flush(kill % 2, kill)
writers.leave()
ring.terminate()
assert ring.wait(20) == 0
end(bridge)
end(server)
END
grep -q 'wrote [1-9][0-9]* acknowledged writes' "$serve_log" || fail "nothing was written again"
pass "a killed server and a killed websocket lose nothing that was acknowledged"
