"""A websocket peer by hand: it writes its own heads and frames, so that everything in them can be wrong."""

import base64
import os
import socket
import struct
import time

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80


class Ended(Exception):
    """The gateway has closed: CODE is its close frame's, 1005 without one in it, None without a frame."""

    def __init__(self, code, reason=""):
        super().__init__(f"closed with {code} {reason!r}")
        self.code, self.reason = code, reason


def connect(port, source="127.0.0.2"):
    """From another address of this machine: what it does wrong is not the well-behaved one's."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def head(path="/", method="GET", version="HTTP/1.1", **headers):
    """A head as it should be. HEADERS: with _ for -; None leaves one out."""
    lines = {"Host": "127.0.0.1"} | {name.replace("_", "-"): value for name, value in headers.items()}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"{method} {path} {version}\r\n{text}\r\n".encode("latin-1")


def upgrade(path, **headers):
    wanted = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13",
              "Sec_WebSocket_Key": base64.b64encode(os.urandom(16)).decode()}
    return head(path, **(wanted | headers))


def read_answer(connection):
    """Status, headers, and what has come behind the head."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(1 << 16)
        if not piece:
            return None, {}, data
        data += piece
    text, rest = data.split(b"\r\n\r\n", 1)
    first, *lines = text.decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value.strip() for name, value in pairs}, rest


def frame(opcode, payload=b"", final=True, rsv=0, mask=True, length=None, form=None):
    """LENGTH: what the header says instead of the truth. FORM: 0, 2 or 8 bytes for it instead of the fewest."""
    said = len(payload) if length is None else length
    form = (0 if said < 126 else 2 if said < 1 << 16 else 8) if form is None else form
    data, masked = bytes([(FIN if final else 0) | rsv << 4 | opcode]), 0x80 if mask else 0
    if form == 0:
        data += bytes([masked | said])
    elif form == 2:
        data += struct.pack(">BH", masked | 126, said)
    else:
        data += struct.pack(">BQ", masked | 127, said)
    if not mask:
        return data + payload
    key = os.urandom(4)
    whole = (key * (len(payload) // 4 + 1))[:len(payload)]
    return data + key + (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


class Websocket:
    """Open, and let in. To who serves over it, it looks like a socket of bytes."""

    def __init__(self, port, path, source="127.0.0.2", patience=10, behind=b"", **headers):
        """BEHIND: what follows the head in the same breath."""
        until = time.monotonic() + patience
        while True:
            self.socket = connect(port, source)
            self.socket.sendall(upgrade(path, **headers) + behind)
            status, self.headers, self.data = read_answer(self.socket)
            if status == 101:
                break
            self.socket.close()
            # The session before is about to end.
            assert status in (409, None) and time.monotonic() < until, f"status {status} for {path}"
            time.sleep(0.05)
        self.payload = b""

    def sendall(self, data):
        self.socket.sendall(frame(BINARY, data))

    def send_raw(self, data):
        self.socket.sendall(data)

    def _receive(self, count):
        while len(self.data) < count:
            piece = self.socket.recv(1 << 18)
            if not piece:
                raise Ended(None)
            self.data += piece
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def next_frame(self):
        """Opcode and payload of what the gateway sends; its frames are as the RFC has them."""
        try:
            first, second = self._receive(2)
            assert first & 0x70 == 0 and second & 0x80 == 0, (hex(first), hex(second))
            length = second & 0x7F
            if length == 126:
                length, = struct.unpack(">H", self._receive(2))
            elif length == 127:
                length, = struct.unpack(">Q", self._receive(8))
            return first & 0x0F, self._receive(length)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Ended(None, str(error)) from error

    def recv(self, count):
        """Payload; answers pings and the close frame."""
        while not self.payload:
            opcode, payload = self.next_frame()
            if opcode == PING:
                self.send_raw(frame(PONG, payload))
            elif opcode == CLOSE:
                self.answer_close(payload)
            elif opcode in (BINARY, CONTINUATION):
                self.payload = payload
        taken, self.payload = self.payload[:count], self.payload[count:]
        return taken

    def answer_close(self, payload):
        try:
            self.send_raw(frame(CLOSE, payload[:2]))
        except OSError:
            pass
        code = struct.unpack(">H", payload[:2])[0] if payload else 1005
        raise Ended(code, payload[2:].decode())

    def wait_ended(self, seconds=15):
        """Reads until the gateway closes: how it did."""
        try:
            self.socket.settimeout(seconds)
            while True:
                self.payload = b""
                self.recv(1)
        except Ended as ended:
            return ended
        except TimeoutError:
            raise
        except OSError as error:  # we have closed it ourselves
            return Ended(None, str(error))
        finally:
            self.socket.close()

    def close(self):
        """Without a word. Whoever waits for something from it is woken."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
