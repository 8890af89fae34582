#!/bin/bash
# Servers that insist on blocks, by nbdkit's blocksize-policy, which refuses whatever breaks its rules: a client of ours
# may read and write as it likes and hears nothing of them.

source "$(dirname "$0")/remote-servers-lib.sh"
requires fio

# insists MINIMUM PREFERRED MAXIMUM
insists() {
  local minimum=$1 preferred=$2 maximum=$3
  start_nbdkit --filter=log --filter=blocksize-policy memory 8M logfile="$work/seen" \
    blocksize-minimum="$minimum" blocksize-preferred="$preferred" blocksize-maximum="$maximum" \
    blocksize-error-policy=error
  "$NBDRING" info --json "$remote" >"$work/info.json"
  "$python" - "$work/info.json" "$minimum" "$preferred" "$maximum" <<'END'
import json, sys
told = json.load(open(sys.argv[1]))["exports"][0]["block_size"]
wanted = [int(text) for text in sys.argv[2:]]
assert told == dict(zip(("minimum", "preferred", "maximum"), wanted), told=True), told
END
  start_serve "$remote"
  exercise "$uri"
  verify
  misaligned
  stop_serve
  expect_quiet_log
  stop_peer
  if grep 'error=' "$work/seen"; then fail "a request of ours was refused"; fi
  echo "ok: blocks of $minimum, at most $maximum at once"
}

# In units of 512 bytes whatever the server's blocks are: neighbours within one block at once, from two
# clients, and the bytes around them.
misaligned() {
  "$python" - "$uri" <<'END'
import random, sys
import nbd
random.seed(7)
clients = []
for _ in range(2):
    h = nbd.NBD()
    h.set_strict_mode(0)
    h.connect_uri(sys.argv[1])
    clients.append(h)
size = clients[0].get_size()
unit = clients[0].get_block_size(nbd.SIZE_MINIMUM)
model = bytearray(b"".join(clients[0].pread(1 << 20, at) for at in range(0, size, 1 << 20)))
for turn in range(60):
    start = random.randrange((size - 1100 * unit) // unit) * unit
    at, buffers, cookies = start, [], []
    for n in range(8):
        length = random.choice([1, 2, 3, 130, 131]) * unit
        data = random.randbytes(length)
        buffers.append(nbd.Buffer.from_bytearray(bytearray(data)))
        cookies.append((clients[n % 2], clients[n % 2].aio_pwrite(buffers[-1], at)))
        model[at:at + length] = data
        at += length
    for h, cookie in cookies:
        while not h.aio_command_completed(cookie):
            h.poll(-1)
    low, high = max(0, start - 4 * unit), at + 4 * unit
    assert clients[turn % 2].pread(high - low, low) == model[low:high], f"turn {turn}: other bytes"
for at in range(0, size, 1 << 20):
    assert clients[0].pread(1 << 20, at) == model[at:at + (1 << 20)], f"other bytes in {at}"
END
}

insists 1 512 4294967295
insists 512 4096 65536
insists 4096 4096 33554432
insists 4096 65536 65536
insists 65536 65536 1048576
insists 65536 65536 65536
pass "block size constraints are kept"
