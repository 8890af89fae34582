"""A client by hand: it can send whatever it likes. And a session as an ordinary client has it."""

import socket
import struct
import sys

SOCKET = sys.argv[1]

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


class Client:
    def __init__(self, path=SOCKET):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
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
