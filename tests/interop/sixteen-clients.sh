#!/bin/bash
# Sixteen clients at once, each verifying its own part; afterwards every part is in the image.

source "$(dirname "$0")/lib.sh"
requires_libnbd

session() {
  "$python" - "$uri" <<'END'
import hashlib, multiprocessing, random, sys
import nbd

part = 4 << 20

def client(number):
    h = nbd.NBD()
    h.connect_uri(sys.argv[1])
    rng, base = random.Random(number), number * part
    model = bytearray(part)
    for _ in range(200):
        at = rng.randrange(0, part - 4096, 4096)
        length = min(rng.choice([4096, 8192, 65536, 262144]), part - at)
        kind = rng.random()
        if kind < 0.5:
            data = rng.randbytes(length)
            h.pwrite(data, base + at, nbd.CMD_FLAG_FUA if kind < 0.02 else 0)
            model[at:at + length] = data
        elif kind < 0.6:
            h.zero(length, base + at)
            model[at:at + length] = bytes(length)
        elif kind < 0.62:
            h.flush()
        else:
            assert h.pread(length, base + at) == model[at:at + length], f"client {number} at {at}"
    assert h.pread(part, base) == model
    h.shutdown()
    return hashlib.sha256(model).hexdigest()

with multiprocessing.Pool(16) as pool:
    sums = pool.map(client, range(16), chunksize=1)
h = nbd.NBD()
h.connect_uri(sys.argv[1])
for number, wanted in enumerate(sums):
    assert hashlib.sha256(h.pread(part, number * part)).hexdigest() == wanted, f"part {number}"
END
}

on_each_backend 64M session
pass "sixteen clients, each with its own verified part"
