"""Noise."""

import os
import random
import socket

from cases import case
from wire import Client, FLAGS, HALF, OPT_GO, info, option, request, whole_session


def noise(rng):
    """Bytes that get far: parts of a session, bent."""
    session = bytearray(whole_session())
    kind = rng.random()
    if kind < 0.2:
        return rng.randbytes(rng.randrange(1, 2000))
    if kind < 0.4:
        return FLAGS + rng.randbytes(rng.randrange(1, 200))
    if kind < 0.6:
        return FLAGS + option(rng.randrange(12), rng.randbytes(rng.randrange(64)))
    if kind < 0.7:
        return FLAGS + option(OPT_GO, info()) + rng.randbytes(200)
    if kind < 0.8:
        fields = (rng.randrange(10), rng.getrandbits(64) >> rng.randrange(64), rng.getrandbits(32) >> rng.randrange(32))
        safe = max(fields[1], HALF)  # the first half is the well-behaved client's
        return FLAGS + option(OPT_GO, info()) + request(fields[0], safe, fields[2], rng.choice([0, 1, 2, 0xFFFF])) * 5
    for _ in range(rng.randrange(1, 4)):
        session[rng.randrange(len(session))] ^= 1 << rng.randrange(8)
    del session[rng.randrange(len(session)):]
    return bytes(session)


@case(at_most=1000)
def a_thousand_times_noise():
    seed = int(os.environ.get("NBDRING_SEED", "20260101"))
    print(f"  seed {seed}")
    rng = random.Random(seed)
    for _ in range(1000):
        client = Client()
        try:
            client.send(noise(rng))
            if rng.random() < 0.5:
                client.socket.shutdown(socket.SHUT_WR)
                client.expect_dropped()
        except (BrokenPipeError, ConnectionResetError):
            pass
        client.socket.close()
