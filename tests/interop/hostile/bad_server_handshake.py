"""What a server can do wrong before transmission, and what `nbdring info` makes of it: exit code 5
or 6, one line for a terminal that says what is wrong, soon, and without much memory.

usage: bad_server_handshake.py NBDRING FOLDER
"""

import os
import re
import struct
import subprocess
import sys
import threading
import time

from bad_server import (
    ABORT, ACK, ERR_POLICY, ERR_UNSUP, FLAGS, IHAVEOPT, META_CONTEXT, REP_INFO, SERVER, SIZE, STARTTLS, BadServer,
)

NBDRING, FOLDER = sys.argv[1:3]
MEMORY_MAX = 48 << 10  # KiB, with all libraries
CASES = []


def greeting(data):
    def handler(peer):
        peer.send(data)
        peer.wait_gone()
    return handler


def info_is(**values):
    """A good handshake, but for the export's values."""
    def answer(peer, option, _):
        peer.export_info(option, values.get("size", SIZE), values.get("flags", FLAGS))
        peer.block_sizes(option, *values.get("blocks", (1, 4096, 1 << 25)))
        peer.reply(option, ACK)
        return False
    return lambda peer: peer.shake_hands(INFO=answer)


def reply_is(option, *replies):
    """Instead of answering an option: these replies."""
    def answer(peer, number, _):
        for arguments in replies:
            peer.reply(number, *arguments[:1], **arguments[1])
        peer.wait_gone()
    return lambda peer: peer.shake_hands(**{option: answer})


def endless(option, kind, data):
    def answer(peer, number, _):
        while True:
            peer.reply(number, kind, data)
    return lambda peer: peer.shake_hands(**{option: answer})


EXPORT = struct.pack(">HQH", 0, SIZE, FLAGS)
OTHER_EXPORT = struct.pack(">HQH", 0, SIZE * 2, FLAGS)
LISTING = {"arguments": ["--list"]}
BLOCKS = struct.pack(">HIII", 3, 1, 4096, 1 << 25)

for name, handler, status, pattern, extra in (
    ("an oldstyle server", greeting(struct.pack(">8sQQ", b"NBDMAGIC", 0x420281861253, SIZE) + bytes(128)),
     (5, 6), "old", {}),
    ("no NBD at all", greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n"), (5, 6), "NBD", {}),
    ("not fixed newstyle", greeting(struct.pack(">8sQH", b"NBDMAGIC", IHAVEOPT, 0)), (5, 6), "15 s", {"seconds": 20}),
    ("closes at once", lambda peer: None, (5,), "closed", {}),
    ("closes after the greeting", lambda peer: peer.greet(), (5,), "closed", {}),
    ("closes in a reply", lambda peer: (peer.greet(), peer.option(), peer.send(bytes(7))), (5,), "closed", {}),
    ("a wrong reply magic", reply_is("INFO", (ACK, {"magic": 1})), (5, 6), "magic", {}),
    ("a reply of 4 GiB", reply_is("INFO", (REP_INFO, {"length": 0xFFFFFFFF})), (5, 6), "4294967295 bytes", {}),
    ("a reply of 65 KiB", reply_is("INFO", (REP_INFO, {"data": bytes(66_000)})), (5, 6), "66000 bytes", {}),
    ("a short export", reply_is("INFO", (REP_INFO, {"data": EXPORT[:11]})), (5, 6), "size has a wrong length", {}),
    ("a long export", reply_is("INFO", (REP_INFO, {"data": EXPORT + b"x"})), (5, 6), "size has a wrong length", {}),
    ("short block sizes", reply_is("INFO", (REP_INFO, {"data": EXPORT}), (REP_INFO, {"data": BLOCKS[:13]})),
     (5, 6), "block sizes has a wrong length", {}),
    ("an INFO of one byte", reply_is("INFO", (REP_INFO, {"data": b"x"})), (5, 6), "lacks its type", {}),
    ("ACK without an export", reply_is("INFO", (ACK, {})), (5, 6), "without a size", {}),
    ("ACK with data", reply_is("INFO", (REP_INFO, {"data": EXPORT}), (ACK, {"data": b"x"})), (5, 6),
     "carries data", {}),
    ("two different exports", reply_is("INFO", (REP_INFO, {"data": EXPORT}), (REP_INFO, {"data": OTHER_EXPORT}),
                                       (ACK, {})), (5, 6), "two sizes", {}),
    ("an unknown reply", reply_is("INFO", (77, {})), (5, 6), "reply type 77", {}),
    ("endless INFO", endless("INFO", REP_INFO, EXPORT), (5, 6), "more than 64 things", {}),
    ("endless unknown INFO", endless("INFO", REP_INFO, struct.pack(">H", 999)), (5, 6), "more than 64 things", {}),
    ("endless contexts", endless("SET_META", META_CONTEXT, struct.pack(">I", 7) + b"base:allocation"), (5, 6),
     "more than 16", {}),
    ("endless exports", endless("LIST", SERVER, struct.pack(">I", 3) + b"one"), (5, 6), "more than 10000", LISTING),
    ("endless long names", endless("LIST", SERVER, struct.pack(">I", 4000) + b"x" * 4000), (5, 6),
     "more than 1048576 bytes", LISTING),
    ("a name beyond its reply", reply_is("LIST", (SERVER, {"data": struct.pack(">I", 5000) + b"one"})), (5, 6),
     "is no name", LISTING),
    ("2^63 bytes", info_is(size=1 << 63), (5, 6), "2.63 bytes", {}),
    ("2^64 - 1 bytes", info_is(size=(1 << 64) - 1), (5, 6), "2.63 bytes", {}),
    ("no HAS_FLAGS", info_is(flags=0), (5, 6), "HAS_FLAGS", {}),
    ("blocks of 3", info_is(blocks=(3, 4096, 1 << 25)), (5, 6), "power of two", {}),
    ("blocks of 0", info_is(blocks=(0, 4096, 1 << 25)), (5, 6), "power of two", {}),
    ("blocks of 128 KiB", info_is(blocks=(1 << 17, 1 << 17, 1 << 25)), (5, 6), "64 KiB", {}),
    ("minimum above preferred", info_is(blocks=(8192, 4096, 1 << 25)), (5, 6), "preferred", {}),
    ("maximum below preferred", info_is(blocks=(1, 4096, 512)), (5, 6), "maximum", {}),
    ("an error for a terminal", reply_is("INFO", (0x80000006, {"data": b"\x1b]0;owned\x07\0\xff" + b"A" * 4000})),
     (4, 5, 6), "owned", {}),
    ("silence", lambda peer: peer.wait_gone(), (5,), "15 s", {"seconds": 20}),
    ("silence after the greeting", lambda peer: (peer.greet(), peer.wait_gone()), (5,), "15 s", {"seconds": 20}),
    ("a byte a second", lambda peer: drip(peer), (5,), "15 s", {"seconds": 20}),
    ("STARTTLS unknown", lambda peer: peer.shake_hands(), (6,), "TLS", {"tls": True}),
    ("STARTTLS against the policy", reply_is("STARTTLS", (ERR_POLICY, {"data": b"no"})), (6,), "TLS", {"tls": True}),
    ("STARTTLS with data", reply_is("STARTTLS", (ACK, {"data": b"x"})), (5, 6), "carries data", {"tls": True}),
    ("STARTTLS with another type", reply_is("STARTTLS", (REP_INFO, {"data": EXPORT})), (5, 6), "reply type 3",
     {"tls": True}),
    ("another option echoed", lambda peer: (peer.greet(), peer.option(), peer.reply(ABORT, ACK), peer.wait_gone()),
     (5, 6), "instead of STARTTLS", {"tls": True}),
    ("clear text behind STARTTLS", lambda peer: inject(peer), (5, 6), "sent in clear", {"tls": True}),
    ("oldstyle where TLS is required", greeting(struct.pack(">8sQQ", b"NBDMAGIC", 0x420281861253, SIZE) + bytes(128)),
     (5, 6), "oldstyle", {"tls": True}),
    ("not fixed newstyle where TLS is required", greeting(struct.pack(">8sQH", b"NBDMAGIC", IHAVEOPT, 0)),
     (5, 6), "no fixed newstyle", {"tls": True}),
):
    CASES.append((name, handler, status, pattern, extra))


def drip(peer):
    for byte in struct.pack(">8sQH", b"NBDMAGIC", IHAVEOPT, 3) * 10:
        peer.send(bytes([byte]))
        time.sleep(1)


def inject(peer):
    """The options' answers in clear, in the same segment as the STARTTLS' own (CVE-2021-3716)."""
    peer.greet()
    number, _ = peer.option()
    assert number == STARTTLS, number
    ack = struct.pack(">QIII", 0x3E889045565A9, STARTTLS, ACK, 0)
    peer.send(ack + struct.pack(">QIII", 0x3E889045565A9, 8, ERR_UNSUP, 0))
    peer.wait_gone()


def ask(path, arguments, tls):
    uri = f"nbd+unix:///?socket={path}"
    options = list(arguments)
    if tls:
        options += ["--tls", "require", "--tls-psk-file", os.path.join(FOLDER, "keys.psk")]
        uri = f"nbd+unix://alice@/?socket={path}"
    child = subprocess.Popen([NBDRING, "info", uri] + options, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    watchdog = threading.Timer(40, child.kill)
    watchdog.start()
    output, error = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    watchdog.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, output, error.decode("utf-8", "surrogateescape"), usage.ru_maxrss


def check(name, handler, allowed, pattern, extra):
    path = os.path.join(FOLDER, f"{abs(hash(name)):x}.sock")
    server = BadServer(path, handler)
    begin = time.monotonic()
    status, _, error, memory = ask(path, extra.get("arguments", ()), extra.get("tls", False))
    took = time.monotonic() - begin
    server.close()
    line = error.rstrip("\n")
    assert status in allowed, f"exit code {status}, {error!r}"
    assert line and "\n" not in line and line.isprintable(), f"not one line for a terminal: {error!r}"
    assert len(line) < 600, f"{len(line)} characters"
    assert re.search(pattern, line), f"{pattern!r} is missing in {line!r}"
    assert took < extra.get("seconds", 6), f"took {took:.1f} s"
    assert memory < MEMORY_MAX, f"{memory} KiB"
    assert not server.failures, server.failures
    return f"{took:4.1f} s {memory >> 10:3} MiB exit {status}: {line}"


def main():
    with open(os.path.join(FOLDER, "keys.psk"), "w", encoding="ascii", opener=private) as keys:
        keys.write("alice:" + "0123456789abcdef" * 4 + "\n")
    failed = []

    def run(number):
        name = CASES[number][0]
        try:
            print(f"  ok {name}: {check(*CASES[number])}", flush=True)
        except AssertionError as error:
            failed.append(name)
            print(f"  FAILED {name}: {error}", flush=True)

    slow = [n for n, entry in enumerate(CASES) if entry[4].get("seconds", 0) > 10]
    threads = [threading.Thread(target=run, args=(number,)) for number in slow]
    for thread in threads:
        thread.start()
    for number in set(range(len(CASES))) - set(slow):
        run(number)
    for thread in threads:
        thread.join()
    sys.exit(len(failed) > 0)


def private(path, flags):
    return os.open(path, flags, 0o600)


main()
