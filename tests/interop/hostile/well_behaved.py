"""The client that does nothing wrong while others do: verified I/O, and how long each request took."""

import random
import time

from wire import Client, READ, WRITE, request


def well_behaved(ready, stop, figures=None):
    """On the first half. FIGURES: a queue that is given (when, seconds) of all requests in the end."""
    rng = random.Random(1)
    client = Client().go()
    model = bytearray(1 << 20)
    client.send(request(WRITE, 0, len(model)) + model)
    client.expect_reply(1, 0)
    cookie, times = 1, []
    ready.set()
    while not stop.is_set():
        cookie += 1
        at = rng.randrange(0, len(model) - 8192, 512)
        begin = time.monotonic()
        if rng.random() < 0.5:
            data = rng.randbytes(8192)
            client.send(request(WRITE, at, len(data), cookie=cookie) + data)
            client.expect_reply(cookie, 0)
            model[at:at + len(data)] = data
        else:
            client.send(request(READ, at, 8192, cookie=cookie))
            assert client.expect_reply(cookie, 0, 8192) == model[at:at + 8192], f"wrong data at {at}"
        times.append((begin, time.monotonic() - begin))
        time.sleep(0.001)
    client.leave()
    if figures is not None:
        figures.put(times)
