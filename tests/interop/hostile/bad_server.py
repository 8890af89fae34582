"""A server by hand: every step of its own, so that a case can do one of them wrong."""

import os
import socket
import struct
import threading

IHAVEOPT = 0x49484156454F5054
EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED, SET_META, EXTENDED = 1, 2, 3, 5, 6, 7, 8, 10, 11
REP_MAGIC = 0x3E889045565A9
ACK, SERVER, REP_INFO, META_CONTEXT = 1, 2, 3, 4
ERR_UNSUP, ERR_POLICY = 0x80000001, 0x80000002
READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
DONE, NONE, OFFSET_DATA, OFFSET_HOLE, STATUS, ERROR, ERROR_OFFSET = 1, 0, 1, 2, 5, 0x8001, 0x8002
EIO, EINVAL, ESHUTDOWN = 5, 22, 108

SIZE = 8 << 20
HALF_SIZE = SIZE // 2
CONTEXT = 7
FLAGS = 1 | 4 | 8 | 32 | 64  # has flags, flush, fua, trim, write zeroes


class Gone(Exception):
    """The client has closed the connection."""


class Peer:
    """One connection, from the server's side."""

    def __init__(self, connection, number):
        self.socket, self.number = connection, number
        self.structured = False

    def receive(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise Gone
            data += piece
        return bytes(data)

    def send(self, data):
        self.socket.sendall(data)

    def wait_gone(self):
        """Reads until the client closes: what it does then is its own affair."""
        while self.socket.recv(1 << 16):
            pass

    # ---- handshake

    def greet(self, flags=3):
        self.send(struct.pack(">8sQH", b"NBDMAGIC", IHAVEOPT, flags))
        return struct.unpack(">I", self.receive(4))[0]

    def option(self):
        magic, number, length = struct.unpack(">QII", self.receive(16))
        assert magic == IHAVEOPT, hex(magic)
        return number, self.receive(length)

    def reply(self, option, kind, data=b"", length=None, magic=REP_MAGIC):
        self.send(struct.pack(">QIII", magic, option, kind, len(data) if length is None else length) + data)

    def export_info(self, option, size=SIZE, flags=FLAGS):
        self.reply(option, REP_INFO, struct.pack(">HQH", 0, size, flags))

    def block_sizes(self, option, minimum=1, preferred=4096, maximum=1 << 25):
        self.reply(option, REP_INFO, struct.pack(">HIII", 3, minimum, preferred, maximum))

    def answer(self, option, data):
        """As a good server does; true when transmission begins."""
        if option == STRUCTURED:
            self.structured = True
            self.reply(option, ACK)
        elif option == SET_META:
            self.reply(option, META_CONTEXT, struct.pack(">I", CONTEXT) + b"base:allocation")
            self.reply(option, ACK)
        elif option in (INFO, GO):
            self.export_info(option)
            self.block_sizes(option)
            self.reply(option, ACK)
            return option == GO
        elif option == LIST:
            self.reply(option, SERVER, struct.pack(">I", 3) + b"one")
            self.reply(option, ACK)
        elif option == ABORT:
            self.reply(option, ACK)
            raise Gone
        else:
            self.reply(option, ERR_UNSUP)
        return False

    def shake_hands(self, **wrong):
        """WRONG: by the option's name, what is done instead of answering it: f(peer, option, data)."""
        self.greet()
        instead = {globals()[name]: action for name, action in wrong.items()}
        while True:
            option, data = self.option()
            if option in instead:
                if instead[option](self, option, data):
                    return
            elif self.answer(option, data):
                return

    # ---- transmission

    def request(self):
        magic, flags, command, cookie, offset, length = struct.unpack(">IHHQQI", self.receive(28))
        assert magic == 0x25609513, hex(magic)
        payload = self.receive(length) if command == WRITE else b""
        if command == DISC:
            raise Gone
        return command, cookie, offset, length, payload

    def simple(self, cookie, error=0, data=b"", magic=0x67446698):
        self.send(struct.pack(">IIQ", magic, error, cookie) + data)

    def chunk(self, cookie, kind, content=b"", flags=DONE, length=None):
        self.send(struct.pack(">IHHQI", 0x668E33EF, flags, kind, cookie,
                              len(content) if length is None else length) + content)

    def data(self, cookie, offset, data, flags=DONE):
        self.chunk(cookie, OFFSET_DATA, struct.pack(">Q", offset) + data, flags)

    def serve(self, request):
        """As a good server does: its bytes tell where they stand."""
        command, cookie, offset, length, _ = request
        if command == READ and self.structured:
            self.data(cookie, offset, contents(offset, length))
        elif command == READ:
            self.simple(cookie, 0, contents(offset, length))
        elif command == BLOCK_STATUS:
            self.chunk(cookie, STATUS, struct.pack(">III", CONTEXT, length, 0))
        else:
            self.simple(cookie)

    def serve_on(self):
        while True:
            self.serve(self.request())


def contents(offset, length):
    """A different word every eight bytes."""
    first = offset // 8
    words = range(first, (offset + length + 7) // 8)
    return struct.pack(f">{len(words)}Q", *words)[offset % 8:][:length]


class BadServer:
    """Listens on a Unix socket; each connection is given to HANDLER(peer) on a thread of its own."""

    def __init__(self, path, handler):
        self.handler, self.connections = handler, 0
        self.failures = []
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.handle, args=(Peer(connection, self.connections),), daemon=True).start()

    def handle(self, peer):
        try:
            self.handler(peer)
        except (Gone, BrokenPipeError, ConnectionResetError):
            pass
        except AssertionError as error:
            self.failures.append(f"the client sent nonsense: {error}")
        finally:
            peer.socket.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
