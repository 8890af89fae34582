"""What a server can do wrong in transmission, and what `nbdring serve` makes of it for its own
client: the connection ends with the rule that was broken in the log; a server that does it again and
again gives EIO, one that did it once gives its data. Soon, and without memory.

usage: bad_server_transmission.py NBDRING FOLDER
"""

import os
import queue
import re
import struct
import subprocess
import sys
import threading
import time

from bad_server import (
    CONTEXT, DONE, EIO, ERROR, ESHUTDOWN, FLUSH, NONE, OFFSET_DATA, OFFSET_HOLE, READ, STATUS, STRUCTURED, ERR_UNSUP,
    WRITE, BLOCK_STATUS, BadServer, contents,
)

NBDRING, FOLDER = sys.argv[1:3]
MEMORY_MAX = 40 << 10  # KiB, with all libraries
LENGTH = 4096
WORKERS = 4

# One request as an ordinary client makes it, with libnbd; prints what came back.
CLIENT = """
import sys, nbd
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_unix(sys.argv[1])
try:
    if sys.argv[2] == "read":
        print("data", h.pread(4096, 0).hex())
    elif sys.argv[2] == "write":
        h.pwrite(bytes(4096), 0)
        h.flush()
        print("done")
    else:
        h.block_status(4096, 0, lambda *_: 0)
        print("done")
except nbd.Error as error:
    print("error", error.errno)
"""


def plain(peer):
    """A handshake without structured replies."""
    peer.shake_hands(STRUCTURED=lambda p, option, _: p.reply(option, ERR_UNSUP))


def structured(peer):
    peer.shake_hands()


def at(command, misdeed, handshake=structured, before=lambda peer: None):
    """Serves well, but for this command."""
    def handler(peer):
        handshake(peer)
        before(peer)
        while True:
            request = peer.request()
            if request[0] == command:
                misdeed(peer, request[1])
            else:
                peer.serve(request)
    return handler


def offset(value):
    return struct.pack(">Q", value)


def many_chunks(peer, cookie):
    for byte in range(LENGTH):
        peer.data(cookie, byte, contents(byte, 1), DONE if byte == LENGTH - 1 else 0)


def flood(peer, cookie):
    while True:
        peer.send(bytes(1 << 16))


DATA = contents(0, LENGTH)
HALF = DATA[:LENGTH // 2]

# name, command, misdeed, what the log says
MISDEEDS = (
    ("a wrong magic", READ, lambda p, c: p.simple(c, 0, DATA, magic=0xBAD0BAD), "wrong magic"),
    ("another cookie", READ, lambda p, c: p.data(c ^ 1, 0, DATA), "to no request"),
    ("chunk after the last", READ, lambda p, c: (p.data(c, 0, DATA), p.chunk(c, NONE)), "to no request"),
    ("a simple reply to READ", READ, lambda p, c: p.simple(c, 0, DATA), "simple reply to a READ"),
    ("data before the request's", READ, lambda p, c: p.data(c, 8192, DATA), "outside"),
    ("data that wraps around", READ, lambda p, c: p.data(c, 2**64 - 2048, HALF), "outside"),
    ("the same bytes twice", READ, lambda p, c: (p.data(c, 0, HALF, 0), p.data(c, 0, HALF)), "twice"),
    ("no bytes at all", READ, lambda p, c: p.chunk(c, NONE), "without all bytes"),
    ("half of the bytes", READ, lambda p, c: p.data(c, 0, HALF), "without all bytes"),
    ("a hole of nothing", READ, lambda p, c: p.chunk(c, OFFSET_HOLE, offset(0) + bytes(4)), "no bytes"),
    ("a hole of 4 GiB", READ, lambda p, c: p.chunk(c, OFFSET_HOLE, offset(0) + b"\xff" * 4), "outside"),
    ("a byte a chunk", READ, many_chunks, "too many chunks"),
    ("an error that is none", READ, lambda p, c: p.chunk(c, ERROR, bytes(6)), "without an error"),
    ("a text beyond its chunk", READ, lambda p, c: p.chunk(c, ERROR, struct.pack(">IH", EIO, 9)), "longer than"),
    ("a text of 64 KiB", READ, lambda p, c: p.chunk(c, ERROR, struct.pack(">IH", EIO, 65535) + bytes(65535)),
     "wrong length"),
    ("a chunk of 4 GiB", READ, lambda p, c: p.chunk(c, OFFSET_DATA, offset(0), length=0xFFFFFFFF), "wrong length"),
    ("an unknown chunk", READ, lambda p, c: p.chunk(c, 99), "unknown type"),
    ("garbage without end", READ, flood, "wrong magic"),
    ("data for a WRITE", WRITE, lambda p, c: p.data(c, 0, DATA), "another command"),
    ("two replies to a FLUSH", FLUSH, lambda p, c: (p.simple(c), p.simple(c)), "to no request"),
    ("another context", BLOCK_STATUS, lambda p, c: p.chunk(c, STATUS, struct.pack(">III", CONTEXT + 1, 512, 0)),
     "unknown context"),
    ("an extent of nothing", BLOCK_STATUS, lambda p, c: p.chunk(c, STATUS, struct.pack(">III", CONTEXT, 0, 0)),
     "extent of no bytes"),
    ("half an extent", BLOCK_STATUS, lambda p, c: p.chunk(c, STATUS, struct.pack(">II", CONTEXT, 0)), "wrong length"),
    ("2^20 extents and one", BLOCK_STATUS, lambda p, c: p.chunk(c, STATUS, b"", length=4 + 8 * (2**20 + 1)),
     "wrong length"),
)
OPERATIONS = {READ: "read", WRITE: "write", FLUSH: "write", BLOCK_STATUS: "status"}
EXPECTED = {"read": f"data {DATA.hex()}", "write": "done", "status": "done"}


def first_only(handler):
    """The second connection meets a good server."""
    def choose(peer):
        if peer.number == 1:
            handler(peer)
            return
        structured(peer)
        peer.serve_on()
    return choose


def stall(peer, _):
    peer.wait_gone()


def close_in_reply(peer, cookie):
    peer.send(struct.pack(">IHHQI", 0x668E33EF, 1, 1, cookie, 8 + LENGTH) + bytes(100))
    peer.socket.close()
    raise BrokenPipeError


# name, handler, operation, what the client gets, what the log says, seconds, connections
CASES = []
for name, command, misdeed, reason in MISDEEDS:
    operation = OPERATIONS[command]
    # What was answered has been answered: what comes behind it is the next one's trouble.
    answered = command == FLUSH or name == "chunk after the last"
    result = f"error EIO|{EXPECTED[operation]}" if answered else "error EIO"
    CASES.append((f"{name}, always", at(command, misdeed), operation, result, reason, 15, None))
    CASES.append((f"{name}, once", first_only(at(command, misdeed)), operation, EXPECTED[operation], reason, 12, None))
CASES += (
    ("chunks that were not agreed on", at(READ, lambda p, c: p.data(c, 0, DATA), plain), "read", "error EIO",
     "not agreed on", 15, None),
    ("a reply before any request", first_only(at(READ, stall, before=lambda p: p.simple(0))), "read",
     EXPECTED["read"], "to no request", 12, None),
    ("an unknown kind of error", at(READ, lambda p, c: p.chunk(c, 0x8123, struct.pack(">IH", EIO, 2) + b"no")),
     "read", "error EIO", "", 5, 1),
    ("an unknown number of error", at(READ, lambda p, c: p.chunk(c, ERROR, struct.pack(">IH", 4711, 0))),
     "read", "error EINVAL", "", 5, 1),
    ("closed within a reply", first_only(at(READ, close_in_reply)), "read", EXPECTED["read"],
     "closed the connection in the middle", 12, None),
    ("shutting down", first_only(at(READ, lambda p, c: p.chunk(c, ERROR, struct.pack(">IH", ESHUTDOWN, 0)))), "read",
     EXPECTED["read"], "shutting down", 12, None),
    ("no answer for 30 s", first_only(at(READ, stall)), "read", EXPECTED["read"], "no answer for 30 s", 50, None),
)


def wait_socket(path, serve):
    for _ in range(1000):
        with open("/proc/net/unix", encoding="ascii", errors="replace") as sockets:
            if any(line.endswith(f" {path}\n") and " 00010000 " in line for line in sockets):
                return
        assert serve.poll() is None, f"serve ended with status {serve.returncode}"
        time.sleep(0.02)
    raise AssertionError("serve does not listen")


def read_log(path, reason):
    """The log is written by a thread of its own, so its line may come after the answer."""
    deadline = time.monotonic() + 5
    while True:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read()
        if reason in lines or time.monotonic() > deadline:
            return lines
        time.sleep(0.02)


def peak_memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"^VmHWM:\s+(\d+)", status.read(), re.M)[1])


def check(number):
    _, handler, operation, expected, reason, seconds, connections = CASES[number]
    far, near = (os.path.join(FOLDER, f"{side}{number}") for side in ("far", "near"))
    log = os.path.join(FOLDER, f"log{number}")
    server = BadServer(far, handler)
    with open(log, "wb") as output:
        serve = subprocess.Popen([NBDRING, "serve", f"nbd+unix:///?socket={far}", "--unix", near],
                                 stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        wait_socket(near, serve)
        begin = time.monotonic()
        client = subprocess.run([sys.executable, "-c", CLIENT, near, operation], timeout=seconds + 20,
                                capture_output=True, text=True, check=False)
        took = time.monotonic() - begin
        said = client.stdout.strip()
        lines = read_log(log, reason)
        assert re.fullmatch(expected, said), f"the client got {said[:60]!r} {client.stderr[-200:]!r}; log: {lines!r}"
        assert took < seconds, f"took {took:.1f} s"
        assert reason in lines, f"{reason!r} is missing in the log: {lines!r}"
        assert len(lines.splitlines()) < 30 and all(line.isprintable() for line in lines.splitlines()), lines
        memory = peak_memory(serve.pid)
        assert memory < MEMORY_MAX, f"{memory} KiB"
        assert not server.failures, server.failures
        assert connections is None or server.connections == connections, f"{server.connections} connections"
        serve.terminate()
        assert serve.wait(20) == 0, f"serve ended with status {serve.returncode}"
        return f"{took:4.1f} s {memory >> 10:3} MiB {server.connections} connections"
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{error}; log: {open(log, encoding='utf-8').read()!r}") from error
    finally:
        serve.kill()
        serve.wait()
        server.close()


def work(numbers, failed):
    while True:
        try:
            number = numbers.get_nowait()
        except queue.Empty:
            return
        name = CASES[number][0]
        try:
            print(f"  ok {name}: {check(number)}", flush=True)
        except AssertionError as error:
            failed.append(name)
            print(f"  FAILED {name}: {error}", flush=True)


def main():
    numbers, failed = queue.Queue(), []
    for number in sorted(range(len(CASES)), key=lambda n: -CASES[n][5]):
        if len(sys.argv) < 4 or sys.argv[3] in CASES[number][0]:
            numbers.put(number)
    workers = [threading.Thread(target=work, args=(numbers, failed)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(len(failed) > 0)


if __name__ == "__main__":
    main()
