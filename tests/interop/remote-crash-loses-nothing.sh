#!/bin/bash
# A remote server that keeps what it is given in memory until it is told to flush is killed twenty
# times under writes. Each write that was acknowledged is in its file after the next flush, and no
# write or read fails, although the server is gone for a while each time.

source "$(dirname "$0")/lib.sh"
requires nbdkit
requires_libnbd

session() {
  PYTHONPATH=$(dirname "$0") timeout 300 "$python" - "$work" "$NBDRING" "$1" <<'END'
import os, random, signal, subprocess, sys, time
from outage_writers import Writers, make_image

work, program, multi = sys.argv[1:]
image, remote, front = work + "/image", work + "/remote", work + "/front"
make_image(image)
random.seed(4711)

def start_remote():
    if os.path.exists(remote):
        os.unlink(remote)
    filters = ["--filter=cache"] + ([] if multi == "yes" else ["--filter=multi-conn"])
    options = ["cache=writeback"] + ([] if multi == "yes" else ["multi-conn-mode=disable"])
    return subprocess.Popen(["nbdkit", "-f", "-U", remote, *filters, "file", image, *options])

server = start_remote()
while not os.path.exists(remote):
    time.sleep(0.01)
ring = subprocess.Popen([program, "serve", f"nbd+unix:///?socket={remote}", "--unix", front],
                        stderr=open(work + "/serve.log", "w"))
writers = Writers(front, image)
assert writers.clients[0].can_multi_conn()

def crash():
    global server
    server.send_signal(signal.SIGKILL)
    server.wait()
    time.sleep(random.choice([0, 0.05, 0.2]))
    server = start_remote()

for kill in range(20):
    for step in range(6):
        writers.write(kill % 2, crash if step == 3 else lambda: None)
    writers.flush(kill % 2, kill)
writers.leave()
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
