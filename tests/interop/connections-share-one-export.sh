#!/bin/bash
# MULTI_CONN: what one connection wrote is read by another; a flush on one covers the writes of all.

source "$(dirname "$0")/lib.sh"
requires_libnbd

session() {
  "$python" - "$uri" <<'END'
import random, sys
import nbd

def connect():
    h = nbd.NBD()
    h.connect_uri(sys.argv[1])
    assert h.can_multi_conn()
    return h

writer, flusher, reader = connect(), connect(), connect()
rng = random.Random(1)
for turn in range(100):
    data = rng.randbytes(64 << 10)
    at = rng.randrange(0, 64 << 20, 64 << 10)
    writer.pwrite(data, at)
    if turn % 2:
        flusher.flush()
    assert reader.pread(len(data), at) == data, f"turn {turn}"
    flusher.zero(4096, at)
    assert reader.pread(8192, at) == bytes(4096) + data[4096:8192], f"turn {turn}"
writer.shutdown()
assert reader.pread(8192, at) == bytes(4096) + data[4096:8192]
END
}

on_each_backend 64M session
pass "connections see each other's writes"
