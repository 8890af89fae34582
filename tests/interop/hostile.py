"""What a client can do wrong, one function per misbehaviour, and what it must not achieve.

usage: hostile.py SOCKET PID LOG GROUP

GROUP chooses the cases: handshake, transmission, silence, crowd, garbage. Meanwhile a well-behaved
client does verified I/O on the same server. After each case: exactly the log lines that are due, and
no thread, descriptor or memory of that client left.
"""

import multiprocessing
import os
import random
import re
import socket
import struct
import sys
import time

SOCKET, PID, LOG, GROUP = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]

IHAVEOPT = 0x49484156454F5054
OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_INFO, OPT_GO = 1, 2, 3, 6, 7
OPT_STRUCTURED_REPLY, OPT_LIST_META, OPT_SET_META = 8, 9, 10
REP_MAGIC = 0x3E889045565A9
REP_ACK, REP_SERVER, REP_INFO = 1, 2, 3
ERR_UNSUP, ERR_INVALID, ERR_UNKNOWN, ERR_TOO_BIG = (0x80000000 + n for n in (1, 3, 6, 9))
REQUEST_MAGIC, REPLY_MAGIC = 0x25609513, 0x67446698
READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
EPERM, EIO, EINVAL, ENOSPC, EOVERFLOW = 1, 5, 22, 28, 75

SIZE = 64 << 20  # of the export; the well-behaved client owns the first half
HALF = SIZE // 2
FLAGS = struct.pack(">I", 3)  # fixed newstyle, no zeroes


# ---- a client by hand


class Client:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(SOCKET)
        self.socket.settimeout(30)  # after connect(): a full backlog shall be waited for

    def send(self, data):
        self.socket.sendall(data)

    def receive(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, f"the server closed the connection after {len(data)} of {count} bytes"
            data += piece
        return bytes(data)

    def expect_dropped(self):
        """Whatever still comes is read; then the connection has ended."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
        self.socket.close()

    def greet(self, flags=FLAGS):
        greeting = self.receive(18)
        assert greeting[:16] == b"NBDMAGICIHAVEOPT", greeting
        self.send(flags)

    def expect_option_reply(self, option, kind):
        magic, for_option, got, length = struct.unpack(">QIII", self.receive(20))
        data = self.receive(length)
        assert (magic, for_option) == (REP_MAGIC, option), (hex(magic), for_option)
        assert got == kind, f"option {option}: reply {got:#x} instead of {kind:#x} ({data})"
        return data

    def go(self, structured=False):
        self.greet()
        if structured:
            self.send(option(OPT_STRUCTURED_REPLY))
            self.expect_option_reply(OPT_STRUCTURED_REPLY, REP_ACK)
        self.send(option(OPT_GO, info()))
        self.expect_option_reply(OPT_GO, REP_INFO)
        self.expect_option_reply(OPT_GO, REP_INFO)
        self.expect_option_reply(OPT_GO, REP_ACK)
        return self

    def expect_reply(self, cookie, error, payload=0):
        magic, got, for_cookie = struct.unpack(">IIQ", self.receive(16))
        assert (magic, for_cookie) == (REPLY_MAGIC, cookie), (hex(magic), for_cookie, cookie)
        assert got == error, f"error {got} instead of {error}"
        return self.receive(payload)

    def expect_alive(self):
        """The stream is still in step: the next request gets its own answer."""
        self.send(request(READ, HALF, 512, cookie=0x1234567887654321))
        self.expect_reply(0x1234567887654321, 0, 512)

    def leave(self):
        self.send(request(DISC))
        self.expect_dropped()


def option(number, data=b"", length=None, magic=IHAVEOPT):
    return struct.pack(">QII", magic, number, len(data) if length is None else length) + data


def info(name=b"", kinds=()):
    return struct.pack(">I", len(name)) + name + struct.pack(f">H{len(kinds)}H", len(kinds), *kinds)


def meta(name=b"", queries=()):
    data = struct.pack(">I", len(name)) + name + struct.pack(">I", len(queries))
    return data + b"".join(struct.pack(">I", len(q)) + q for q in queries)


def request(command, offset=0, length=0, flags=0, cookie=1, magic=REQUEST_MAGIC):
    return struct.pack(">IHHQQI", magic, flags, command, cookie, offset, length)


# ---- the server, from outside


def log_lines():
    with open(LOG, encoding="utf-8", errors="surrogateescape", newline="\n") as log:
        return log.read().splitlines()


def status_value(name):
    with open(f"/proc/{PID}/status") as status:
        return int(re.search(rf"^{name}:\s+(\d+)", status.read(), re.M)[1])


def threads():
    """Names, without the kernel's workers for the ring: it keeps an idle one per thread that had one."""
    names = []
    for task in os.listdir(f"/proc/{PID}/task"):
        try:
            with open(f"/proc/{PID}/task/{task}/comm") as comm:
                names.append(comm.read().strip())
        except FileNotFoundError:
            pass
    return sorted(name for name in names if not name.startswith("iou-"))


def descriptors():
    return len(os.listdir(f"/proc/{PID}/fd"))


def wait_for(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Footprint:
    """Threads, descriptors and memory before a case; afterwards they must be the same."""

    memory_tolerance = 6 << 10  # KiB; the allocator keeps some

    def __init__(self):
        self.threads, self.fds, self.rss = threads(), descriptors(), status_value("VmRSS")

    def check(self):
        assert wait_for(lambda: threads() == self.threads), f"threads {threads()} instead of {self.threads}"
        assert wait_for(lambda: descriptors() == self.fds), f"{descriptors()} descriptors instead of {self.fds}"
        grown = status_value("VmRSS") - self.rss
        assert grown <= self.memory_tolerance, f"memory grew by {grown} KiB"


# ---- cases

CASES = []


def case(group, *lines, at_most=None):
    """LINES: a pattern for each log line that is due, in any order. AT_MOST: instead, how many."""

    def register(function):
        CASES.append((group, function, lines, at_most))
        return function

    return register


@case("handshake", r"client flags 0xfffffff0")
def unknown_client_flags():
    client = Client()
    client.greet(struct.pack(">I", 0xFFFFFFF0))
    client.expect_dropped()


@case("handshake", r"0x4f50544941565148 ")
def bad_magic_in_an_option():
    client = Client()
    client.greet()
    client.send(option(OPT_LIST, magic=0x4F50544941565148))
    client.expect_dropped()


@case("handshake", r"0x1c0a4e0454c4d02")
def another_protocol_altogether():
    client = Client()
    client.greet(b"\0\0\0\3")
    client.send(bytes.fromhex("01c0a4e0454c4d02") + b"GET / HTTP/1.1\r\n\r\n")
    client.expect_dropped()


@case("handshake")
def unknown_options_are_answered():
    client = Client()
    client.greet()
    for number in (0, 4, 5, 11, 99, 0xFFFFFFFF):
        client.send(option(number, b"x" * 100))
        client.expect_option_reply(number, ERR_UNSUP)
    client.send(option(OPT_ABORT))
    client.expect_option_reply(OPT_ABORT, REP_ACK)
    client.expect_dropped()


@case("handshake", r"option 7 .*4294967295 bytes")
def an_option_of_4_gib():
    client = Client()
    client.greet()
    client.send(option(OPT_GO, b"x" * 100, length=0xFFFFFFFF))
    client.expect_dropped()


@case("handshake", r"option 99 .*1048576 bytes")
def an_unknown_option_of_1_mib():
    client = Client()
    client.greet()
    client.send(option(99, b"", length=1 << 20))
    client.expect_dropped()


@case("handshake")
def names_that_are_too_long():
    client = Client()
    client.greet()
    for number in (OPT_INFO, OPT_GO):
        client.send(option(number, info(b"n" * 4097)))
        client.expect_option_reply(number, ERR_TOO_BIG)
    client.send(option(OPT_STRUCTURED_REPLY))
    client.expect_option_reply(OPT_STRUCTURED_REPLY, REP_ACK)
    client.send(option(OPT_SET_META, meta(b"", [b"base:" + b"q" * 4097])))
    client.expect_option_reply(OPT_SET_META, ERR_TOO_BIG)
    client.send(option(OPT_ABORT))
    client.expect_dropped()


@case("handshake", r"too many options: \d+")
def an_option_flood():
    client = Client()
    client.greet()
    try:
        for _ in range(100_000):
            client.send(option(99))
    except (BrokenPipeError, ConnectionResetError):
        pass
    client.expect_dropped()


@case("handshake", r"too many options: \d+ with \d+ bytes")
def large_options_one_after_another():
    client = Client()
    client.greet()
    try:
        for _ in range(1000):
            client.send(option(OPT_INFO, info(b"n" * 4000)))
    except (BrokenPipeError, ConnectionResetError):
        pass
    client.expect_dropped()


@case("handshake")
def data_where_there_is_none():
    client = Client()
    client.greet()
    for number in (OPT_LIST, OPT_STRUCTURED_REPLY):
        client.send(option(number, b"payload"))
        client.expect_option_reply(number, ERR_INVALID)
    client.send(option(OPT_LIST))
    client.expect_option_reply(OPT_LIST, REP_SERVER)
    client.expect_option_reply(OPT_LIST, REP_ACK)
    client.send(option(OPT_ABORT, b"payload"))
    client.expect_dropped()


@case("handshake")
def broken_lengths_in_go():
    client = Client()
    client.greet()
    broken = [
        b"",
        b"\0\0",
        struct.pack(">I", 0),  # no count
        struct.pack(">I", 0xFFFFFFFF),  # a name longer than the option
        struct.pack(">I", 10) + b"short" + b"\0\0",
        struct.pack(">IH", 0, 3) + b"\0\1",  # one of three information types
        struct.pack(">IH", 0, 0xFFFF),
        struct.pack(">IH", 0, 0) + b"rest",
        struct.pack(">IH", 0, 1) + b"\0",
    ]
    for data in broken:
        for number in (OPT_INFO, OPT_GO):
            client.send(option(number, data))
            client.expect_option_reply(number, ERR_INVALID)
    client.send(option(OPT_GO, info(b"", [3, 3, 3, 0xFFFF])))
    client.expect_option_reply(OPT_GO, REP_INFO)
    client.expect_option_reply(OPT_GO, REP_INFO)
    client.expect_option_reply(OPT_GO, REP_ACK)
    client.expect_alive()
    client.leave()


@case("handshake")
def broken_metadata_queries():
    client = Client()
    client.greet()
    client.send(option(OPT_SET_META, meta(b"", [b"base:allocation"])))
    client.expect_option_reply(OPT_SET_META, ERR_INVALID)  # structured replies come first
    client.send(option(OPT_STRUCTURED_REPLY))
    client.expect_option_reply(OPT_STRUCTURED_REPLY, REP_ACK)
    broken = [
        b"",
        struct.pack(">I", 5),
        struct.pack(">II", 0, 1),
        struct.pack(">III", 0, 1, 0xFFFFFFFF),
        struct.pack(">II", 0, 0xFFFFFFFF),
        meta(b"", [b"base:allocation"]) + b"rest",
        meta(b"", [b"without-a-colon"]),
    ]
    for data in broken:
        for number in (OPT_LIST_META, OPT_SET_META):
            client.send(option(number, data))
            client.expect_option_reply(number, ERR_INVALID)
    client.send(option(OPT_SET_META, meta(b"another", [b"base:allocation"])))
    client.expect_option_reply(OPT_SET_META, ERR_UNKNOWN)
    client.send(option(OPT_ABORT))
    client.expect_dropped()


@case("handshake", r"no export named 'secret'")
def export_name_of_nothing():
    client = Client()
    client.greet()
    client.send(option(OPT_EXPORT_NAME, b"secret"))
    client.expect_dropped()


@case("handshake", r"no export named '.*u001b.*u000a.*error: forged")
def a_name_that_forges_a_log_line():
    client = Client()
    client.greet()
    client.send(option(OPT_EXPORT_NAME, b"\x1b[2J\r\nnbdring: error: forged \xff\xfe\0"))
    client.expect_dropped()


@case("handshake", r"no export named 'nnn.*shortened")
def an_export_name_of_4_kib():
    client = Client()
    client.greet()
    client.send(option(OPT_EXPORT_NAME, b"n" * 4096))
    client.expect_dropped()


@case("handshake", r"option 3 .*fixed newstyle")
def an_option_without_fixed_newstyle():
    client = Client()
    client.greet(struct.pack(">I", 0))
    client.send(option(OPT_LIST))
    client.expect_dropped()


# ---- transmission


@case("transmission", r"request magic: \d+ \(0xbad0bad\)")
def a_request_with_bad_magic():
    client = Client().go()
    client.send(request(READ, 0, 512, magic=0x0BAD0BAD))
    client.expect_dropped()


@case("transmission", r"4294967295")
def a_write_of_4_gib():
    client = Client().go()
    client.send(request(WRITE, 0, 0xFFFFFFFF))
    client.expect_dropped()


@case("transmission")
def a_read_of_4_gib():
    client = Client().go()
    client.send(request(READ, 0, 0xFFFFFFFF))
    client.expect_reply(1, EINVAL)
    client.send(request(READ, 0, 48 << 20))  # within the export, beyond the maximum payload
    client.expect_reply(1, EOVERFLOW)
    client.expect_alive()
    client.leave()


@case("transmission")
def refused_writes_are_drained():
    client = Client().go()
    lying_payload = request(READ, 0, 512, cookie=666) * 40_000  # looks like requests
    for offset, error in ((SIZE, ENOSPC), (SIZE - 512, ENOSPC), (2**64 - 1, ENOSPC), (2**63, ENOSPC)):
        client.send(request(WRITE, offset, len(lying_payload)) + lying_payload)
        client.expect_reply(1, error)
        client.expect_alive()
    too_long = 33 << 20
    client.send(request(WRITE, 0, too_long) + bytes(too_long))
    client.expect_reply(1, EINVAL)
    client.expect_alive()
    client.send(request(WRITE, HALF, 512, flags=0x8000) + b"w" * 512)
    client.expect_reply(1, EINVAL)
    client.expect_alive()
    client.leave()


@case("transmission")
def unknown_commands_and_flags():
    client = Client().go()
    for command in (8, 9, 255, 0xFFFF):
        client.send(request(command, 0, 512))
        client.expect_reply(1, EINVAL)
    for command in (READ, FLUSH, TRIM, WRITE_ZEROES, CACHE, BLOCK_STATUS):
        client.send(request(command, 0, 512, flags=0xFFE0))
        client.expect_reply(1, EINVAL)
    client.send(request(BLOCK_STATUS, 0, 512))  # no context was agreed on
    client.expect_reply(1, EINVAL)
    client.expect_alive()
    client.leave()


@case("transmission")
def lengths_and_offsets_that_overflow():
    client = Client().go()
    for command in (READ, TRIM, WRITE_ZEROES):
        past = ENOSPC if command == WRITE_ZEROES else EINVAL
        client.send(request(command, 0, 0))
        client.expect_reply(1, EINVAL)
        for offset, length in ((2**64 - 1, 1), (2**64 - 1, 0xFFFFFFFF), (2**64 - 512, 1024), (2**63, 512), (SIZE, 1)):
            client.send(request(command, offset, length))
            client.expect_reply(1, past)
    client.expect_alive()
    client.leave()


@case("transmission")
def the_same_cookie_for_everything():
    client = Client().go()
    client.send(b"".join(request(READ, HALF, 512, cookie=7) for _ in range(500)))
    for _ in range(500):
        client.expect_reply(7, 0, 512)
    client.leave()


@case("transmission")
def disconnect_with_requests_in_flight():
    client = Client().go()
    client.send(b"".join(request(READ, HALF + n * 4096, 4096, cookie=n) for n in range(64)) + request(DISC))
    client.send(request(READ, 0, 512, cookie=99))  # nobody reads this
    replies = {struct.unpack(">IIQ", client.receive(16) + client.receive(4096)[:0])[2] for _ in range(64)}
    assert replies == set(range(64))
    client.expect_dropped()


@case("transmission")
def half_a_goodbye_still_gets_replies():
    client = Client().go()
    client.send(b"".join(request(READ, HALF, 4096, cookie=n) for n in range(64)))
    client.socket.shutdown(socket.SHUT_WR)
    for _ in range(64):
        client.receive(16 + 4096)
    client.expect_dropped()


@case("transmission", at_most=20)
def gone_with_replies_unread():
    for _ in range(20):
        client = Client().go()
        client.send(b"".join(request(READ, HALF, 65536, cookie=n) for n in range(64)))
        client.socket.close()


@case("transmission", r"disconnected in the middle of a request")
def gone_in_the_middle_of_a_write():
    client = Client().go()
    client.send(request(WRITE, HALF, 1 << 20) + b"w" * 300_000)
    client.socket.close()


def whole_session():
    """Every kind of message once, as a client sends it."""
    return b"".join([
        FLAGS,
        option(OPT_LIST),
        option(OPT_STRUCTURED_REPLY),
        option(OPT_SET_META, meta(b"", [b"base:allocation"])),
        option(OPT_INFO, info(b"", [3])),
        option(OPT_GO, info(b"", [3])),
        request(WRITE, HALF, 1024) + b"w" * 1024,
        request(READ, HALF, 1024),
        request(WRITE_ZEROES, HALF, 512),
        request(TRIM, HALF, 512),
        request(BLOCK_STATUS, HALF, 512),
        request(FLUSH),
        request(DISC),
    ])


@case("transmission", at_most=3000)
def disconnect_after_every_byte():
    session = whole_session()
    for count in range(len(session) + 1):
        if 400 < count < 1300 and count % 50:
            continue  # within the payload
        for abrupt in (True, False):
            client = Client()
            client.send(session[:count])
            if not abrupt:
                client.socket.shutdown(socket.SHUT_WR)
                client.expect_dropped()
            client.socket.close()


@case("transmission")
def one_byte_at_a_time():
    expected = Client()
    expected.send(whole_session())
    slow = Client()
    for byte in whole_session():
        slow.send(bytes([byte]))
    received = []
    for client in (expected, slow):
        data = bytearray()
        while piece := client.socket.recv(4096):
            data += piece
        received.append(bytes(data))
        client.socket.close()
    # Replies may come in any order, and their order is no difference.
    assert len(received[0]) == len(received[1]) and sorted(received[0]) == sorted(received[1])


# ---- silence: the server runs with --timeout 2; a handshake has 10 seconds


@case("silence", *[r"handshake.*did not finish within 10 s"] * 4)
def a_handshake_that_stops():
    begun = [Client() for _ in range(4)]
    begun[1].send(FLAGS[:2])
    begun[2].send(FLAGS + option(OPT_GO, info())[:20])
    begun[3].send(FLAGS + option(OPT_LIST))
    before = time.monotonic()
    for client in begun:
        client.expect_dropped()
    assert 5 < time.monotonic() - before < 25


@case("silence", *[r"handshake.*did not finish within 10 s"])
def a_handshake_of_one_byte_per_second():
    client = Client()
    session = FLAGS + option(OPT_GO, info())
    try:
        for byte in session:
            client.send(bytes([byte]))
            time.sleep(1)
        raise AssertionError("the server took a handshake of half a minute")
    except (BrokenPipeError, ConnectionResetError):
        client.expect_dropped()


@case("silence", *[r"in the middle of a message for 2 s"] * 4)
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


@case("silence")
def silence_between_requests_is_no_offence():
    client = Client().go()
    client.expect_alive()
    time.sleep(4)
    client.expect_alive()
    client.leave()


@case("silence", r"replies unread for 2 s")
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


@case("silence")
def a_slow_reader_is_no_offence():
    client = Client().go()
    client.send(b"".join(request(READ, HALF, 1 << 20, cookie=n) for n in range(12)))
    for _ in range(12):
        client.receive(16 + (1 << 20))
        time.sleep(0.5)
    client.leave()


# ---- crowd


@case("crowd")
def ten_thousand_come_and_go():
    for n in range(10_000):
        client = Client()
        if n % 10 == 0:
            client.receive(18)
        client.socket.close()


@case("crowd", *[r"refused.*limit=64"] * 137)
def two_hundred_at_once():
    clients, served = [Client() for _ in range(200)], []
    for client in clients:
        try:
            client.receive(18)
            served.append(client)
        except (AssertionError, ConnectionResetError):
            client.socket.close()
    assert len(served) == 63, len(served)  # and the well-behaved one
    for client in served:
        client.send(FLAGS + option(OPT_GO, info()) + request(READ, HALF, 512))
    for client in served:
        client.receive(20 + 12 + 20 + 14 + 20 + 16 + 512)
        client.leave()
    assert wait_for(lambda: descriptors() < 40)
    Client().go().leave()  # there is room again


# ---- garbage


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


@case("garbage", at_most=1000)
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


# ---- meanwhile


def well_behaved(ready, stop):
    """Verified I/O on the first half, and the time that the slowest request took."""
    rng = random.Random(1)
    client = Client().go()
    model = bytearray(1 << 20)
    client.send(request(WRITE, 0, len(model)) + model)
    client.expect_reply(1, 0)
    cookie = 1
    ready.set()
    while not stop.is_set():
        cookie += 1
        at = rng.randrange(0, len(model) - 8192, 512)
        if rng.random() < 0.5:
            data = rng.randbytes(8192)
            client.send(request(WRITE, at, len(data), cookie=cookie) + data)
            client.expect_reply(cookie, 0)
            model[at:at + len(data)] = data
        else:
            client.send(request(READ, at, 8192, cookie=cookie))
            assert client.expect_reply(cookie, 0, 8192) == model[at:at + 8192], f"wrong data at {at}"
        time.sleep(0.001)
    client.leave()


def check_lines(before, lines, at_most):
    due = len(lines)
    if at_most is None:
        wait_for(lambda: len(log_lines()) >= before + due)
    time.sleep(0.05)
    new = log_lines()[before:]
    for line in new:
        assert line.startswith("nbdring: warning: ") and "client=" in line or "limit=" in line, f"unclear: {line!r}"
        assert len(line) < 300 and line.isprintable() or "\\udc" in ascii(line), f"not for a terminal: {line!r}"
    if at_most is not None:
        assert len(new) <= at_most, f"{len(new)} lines, at most {at_most} were due"
        return
    assert len(new) == due, f"{len(new)} lines, {due} were due: {new[:5]}"
    for pattern in lines:
        assert any(re.search(pattern, line) for line in new), f"no line says {pattern!r}: {new[:5]}"


def main():
    ready, stop = multiprocessing.Event(), multiprocessing.Event()
    good = multiprocessing.Process(target=well_behaved, args=(ready, stop), daemon=True)
    good.start()
    assert ready.wait(20), "the well-behaved client cannot start"
    failed = 0
    for group, function, lines, at_most in CASES:
        if group != GROUP:
            continue
        footprint, before, begin = Footprint(), len(log_lines()), time.monotonic()
        try:
            function()
            check_lines(before, lines, at_most)
            footprint.check()
            assert good.is_alive(), "the well-behaved client failed"
            print(f"  ok {function.__name__} ({time.monotonic() - begin:.1f} s)")
        except (AssertionError, OSError) as error:
            failed += 1
            print(f"  FAILED {function.__name__}: {error}")
            if not os.path.exists(f"/proc/{PID}"):
                sys.exit("the server is gone")
    stop.set()
    good.join(20)
    assert good.exitcode == 0, "the well-behaved client failed"
    sys.exit(failed > 0)


main()
