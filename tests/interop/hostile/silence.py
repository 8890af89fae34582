"""Silence where bytes are due. The server runs with --timeout 2; a handshake has 10 seconds."""

import time

from cases import case
from server import log_lines, status_value
from wire import Client, FLAGS, HALF, OPT_GO, OPT_LIST, READ, SIZE, WRITE, info, option, request


@case(*[r"handshake.*did not finish within 10 s"] * 5)
def a_handshake_that_stops_or_crawls():
    begun = [Client() for _ in range(4)]
    begun[1].send(FLAGS[:2])
    begun[2].send(FLAGS + option(OPT_GO, info())[:20])
    begun[3].send(FLAGS + option(OPT_LIST))
    before = time.monotonic()
    crawling = Client()
    try:
        for byte in FLAGS + option(OPT_GO, info()):
            crawling.send(bytes([byte]))
            time.sleep(1)
        raise AssertionError("the server took a handshake of half a minute")
    except (BrokenPipeError, ConnectionResetError):
        pass
    for client in [crawling, *begun]:
        client.expect_dropped()
    assert 5 < time.monotonic() - before < 25


@case(*[r"in the middle of a message for 2 s"] * 4)
def half_a_message_then_silence():
    stalled = [Client().go() for _ in range(4)]
    stalled[0].send(request(READ, 0, 512)[:9])
    stalled[1].send(request(WRITE, HALF, 4096) + b"w" * 2048)
    stalled[2].send(request(WRITE, HALF, 4 << 20) + b"w" * 100)
    stalled[3].send(request(WRITE, SIZE, 4096) + b"w" * 100)  # refused: the rest is being drained
    before = time.monotonic()
    for client in stalled:
        client.expect_dropped()
    assert 1 < time.monotonic() - before < 15


@case()
def silence_between_requests_is_no_offence():
    client = Client().go()
    client.expect_alive()
    time.sleep(4)
    client.expect_alive()
    client.leave()


@case(r"replies unread for 2 s")
def replies_that_nobody_reads():
    rss = status_value("VmRSS")
    client = Client().go()
    client.send(b"".join(request(READ, HALF, 1 << 20, cookie=n) for n in range(1000)))
    peak, deadline = 0, time.monotonic() + 15
    lines = len(log_lines())
    while len(log_lines()) == lines and time.monotonic() < deadline:
        peak = max(peak, status_value("VmRSS"))
        time.sleep(0.05)
    assert peak - rss < 16 << 10, f"1000 MiB of replies held {peak - rss} KiB"
    client.expect_dropped()


@case()
def a_slow_reader_is_no_offence():
    client = Client().go()
    client.send(b"".join(request(READ, HALF, 1 << 20, cookie=n) for n in range(12)))
    for _ in range(12):
        client.receive(16 + (1 << 20))
        time.sleep(0.5)
    client.leave()
