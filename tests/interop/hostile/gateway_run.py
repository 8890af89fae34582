"""What a peer of `nbdring gateway` can do wrong, and what it must not achieve.

usage: gateway_run.py FRONT PID LOG GROUP PORT FOLDER [NAME]

GROUP names the module with the cases, NAME the only one of them. Each case has a configuration of the gateway of its
own for its time; eight run at once, twice over. Meanwhile a well-behaved peer (with NBDRING_TOKEN, where the gateway
asks for one) serves another configuration, at whose FRONT a well-behaved client does verified I/O. In the end: no
thread, descriptor or memory of all of them is left, and so many lines in the log that a machine can bear them.
"""

import importlib
import multiprocessing
import os
import queue
import struct
import sys
import threading
import time
import traceback

from bad_server import BLOCK_STATUS, CONTEXT, READ, SIZE, STATUS, WRITE, Gone, Peer
from cases import CASES
from gateway_place import Place
from server import Footprint, log_lines
from websocket import Ended, Websocket
from well_behaved import well_behaved

PLACES = 8
ROUNDS = 2
IDLE = 1.5  # seconds that the well-behaved one has for itself, to compare with
LINES_MAX = 20  # for each case: what an administrator is told of one peer's misdeed


def serve_memory(ready):
    token = os.environ.get("NBDRING_TOKEN")
    protocol = {"Sec_WebSocket_Protocol": f"nbd.token.{token}"} if token else {}
    websocket = Websocket(int(sys.argv[5]), "/good", source="127.0.0.1", **protocol)
    websocket.socket.settimeout(120)
    peer, memory = Peer(websocket, 1), bytearray(SIZE)
    ready.set()
    try:
        peer.shake_hands()
        while True:
            command, cookie, offset, length, payload = peer.request()
            if command == WRITE:
                memory[offset:offset + length] = payload
            if command == READ and peer.structured:
                peer.data(cookie, offset, memory[offset:offset + length])
            elif command == READ:
                peer.simple(cookie, 0, memory[offset:offset + length])
            elif command == BLOCK_STATUS:
                peer.chunk(cookie, STATUS, struct.pack(">III", CONTEXT, length, 0))
            else:
                peer.simple(cookie)
    except (Gone, Ended):
        pass


def start_good():
    ready, stop, figures = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Queue()
    peer = multiprocessing.Process(target=serve_memory, args=(ready,), daemon=True)
    peer.start()
    assert ready.wait(20), "the well-behaved peer does not get in"
    place = Place(0)
    place.front = sys.argv[1]
    place.wait_serving()
    ready.clear()
    client = multiprocessing.Process(target=well_behaved, args=(ready, stop, figures), daemon=True)
    client.start()
    assert ready.wait(20), "the well-behaved client cannot start"
    return peer, client, stop, figures


def say(line):
    """In one write: others speak as well."""
    os.write(1, (line + "\n").encode())


def work(numbers, place, failed):
    while True:
        try:
            number = numbers.get_nowait()
        except queue.Empty:
            return
        function, begin = CASES[number][0], time.monotonic()
        try:
            try:
                function(place)
            finally:
                place.clear()
            say(f"  ok {function.__name__} ({time.monotonic() - begin:.1f} s)")
        except (AssertionError, OSError, Ended) as error:
            failed.append(function.__name__)
            where = traceback.extract_tb(error.__traceback__)[-1]
            say(f"  FAILED {function.__name__}: {error!r} ({where.name}:{where.lineno})")


def one_round(chosen, failed):
    numbers = queue.Queue()
    for number in chosen:
        numbers.put(number)
    workers = [threading.Thread(target=work, args=(numbers, Place(n), failed)) for n in range(PLACES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def check_log(before, cases):
    lines = log_lines()[before:]
    for line in lines:
        assert len(line) < 400 and line.isprintable(), f"not for a terminal: {line!r}"
    assert len(lines) <= LINES_MAX * cases, f"{len(lines)} lines of {cases} cases"
    return len(lines)


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000


def check_good(good, begin):
    peer, client, stop, figures = good
    assert peer.is_alive() and client.is_alive(), "the well-behaved session failed"
    stop.set()
    times = figures.get(timeout=20)
    client.join(20)
    assert client.exitcode == 0, "the well-behaved client failed"
    idle = [took for at, took in times if at < begin]
    busy = [took for at, took in times if at >= begin]
    figure = [percentile(part, share) for part in (idle, busy) for share in (0.5, 0.99, 1)]
    say("the well-behaved session: alone {:.1f} ms, p99 {:.1f}, max {:.1f}; "
          "beside them {:.1f} ms, p99 {:.1f}, max {:.1f}".format(*figure))
    assert figure[4] < max(20 * figure[1], 500), "others' misdeeds slow it down"


def main():
    good = start_good()
    time.sleep(IDLE)
    importlib.import_module(sys.argv[4])
    chosen = [n for n, case in enumerate(CASES) if len(sys.argv) < 8 or sys.argv[7] == case[0].__name__]
    failed, begin, before = [], time.monotonic(), len(log_lines())
    one_round(chosen, failed)
    time.sleep(1.5)  # connections linger for a second
    footprint = Footprint()
    footprint.memory_tolerance = 4 << 10
    for _ in range(1, ROUNDS):
        one_round(chosen, failed)
    if not failed:
        lines = check_log(before, len(chosen) * ROUNDS)
        footprint.check()
        grown = Footprint().rss - footprint.rss
        say(f"{len(chosen)} cases, {ROUNDS} times: {lines} log lines, {footprint.rss} KiB, grown by {grown} KiB")
    check_good(good, begin)
    sys.exit(len(failed) > 0)


main()
