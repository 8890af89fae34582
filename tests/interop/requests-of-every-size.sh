#!/bin/bash
# Requests of 1 byte to 32 MiB, the maximum, sixteen in flight on each of three connections: the large
# ones need the whole of a lane's memory and still come to their turn, between small ones.

source "$(dirname "$0")/lib.sh"
requires_libnbd

session() {
  "$python" - "$uri" <<'END'
import multiprocessing, random, sys
import nbd

part, depth, largest = 48 << 20, 16, 32 << 20

def client(number):
    h = nbd.NBD()
    h.connect_uri(sys.argv[1])
    unit = max(h.get_block_size(nbd.SIZE_MINIMUM), 1)
    rng, base = random.Random(number), number * part
    model = bytearray(part)
    noise = rng.randbytes(largest)
    flying = []  # (cookie, buffer, offset, expected or None)

    # Ranges in flight do not overlap: the server may answer in any order.
    def free_range():
        length = min(largest, unit << rng.randrange(26)) // unit * unit
        if unit == 1 and length < largest:
            length = rng.randrange(length, 2 * length)
        at = rng.randrange(0, part - length + 1) // unit * unit
        taken = any(at < o + len(b) and o < at + length for _, b, o, _ in flying)
        return None if taken else (at, length)

    for _ in range(300):
        chosen = free_range() if len(flying) < depth else None
        if chosen is None:
            while len(flying) > depth // 2:
                h.poll(-1)
                for entry in list(flying):
                    cookie, buffer, at, expected = entry
                    if h.aio_command_completed(cookie):
                        flying.remove(entry)
                        assert expected is None or buffer.to_bytearray() == expected, f"{len(buffer)} bytes at {at}"
            continue
        at, length = chosen
        if rng.random() < 0.5:
            start = rng.randrange(0, largest - length + 1)
            model[at:at + length] = noise[start:start + length]
            buffer = nbd.Buffer.from_bytearray(bytearray(noise[start:start + length]))
            flying.append((h.aio_pwrite(buffer, base + at), buffer, at, None))
        else:
            buffer = nbd.Buffer(length)
            flying.append((h.aio_pread(buffer, base + at), buffer, at, model[at:at + length]))
    while h.aio_in_flight() > 0:
        h.poll(-1)
    assert b"".join(bytes(h.pread(part // 3, base + n * (part // 3))) for n in range(3)) == model
    h.shutdown()

with multiprocessing.Pool(3) as pool:
    pool.map(client, range(3), chunksize=1)
END
}

on_each_backend 144M session
pass "1 byte to 32 MiB, sixteen in flight"
