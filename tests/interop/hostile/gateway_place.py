"""One configuration of the gateway, of which a case is the peer: it serves there what it likes, and asks at the front."""

import os
import struct
import sys
import threading
import time

from bad_server import HALF_SIZE, Gone, Peer, contents
from websocket import Ended, Websocket, head, connect, read_answer
from wire import Client, READ, WRITE, request

PORT, FOLDER = int(sys.argv[5]), sys.argv[6]
EIO = 5
FINAL = (4000, 4001)  # do not come back


def is_listening(path):
    with open("/proc/net/unix", encoding="ascii", errors="replace") as sockets:
        return any(line.endswith(f" {path}\n") and " 00010000 " in line for line in sockets)


class Serving(threading.Thread):
    """HANDLER(peer) on each websocket in turn; a new one whenever one has ended, until the gateway wants no more."""

    def __init__(self, place, handler, returns=True):
        super().__init__(daemon=True)
        self.place, self.handler, self.returns = place, handler, returns
        self.endings, self.failures, self.connections = [], [], 0
        self.is_over, self.current = threading.Event(), None
        self.key = None
        self.start()

    def run(self):
        while not self.is_over.is_set():
            try:
                self.current = self.place.open(self.key)
            except (AssertionError, OSError) as error:
                if self.connections == 0:
                    self.failures.append(str(error))
                break
            self.key = self.current.headers.get("nbdring-session")
            self.connections += 1
            if self.is_over.is_set():
                self.current.close()
                return
            self.serve_one(self.current)
            code = self.endings[-1].code
            if not self.returns or code in FINAL:
                break
        self.is_over.set()

    def serve_one(self, websocket):
        try:
            self.handler(Peer(websocket, self.connections))
            self.endings.append(websocket.wait_ended())
        except Ended as ended:
            self.endings.append(ended)
        except (Gone, OSError) as error:  # DISC: the close frame follows
            self.endings.append(websocket.wait_ended() if isinstance(error, Gone) else Ended(None, str(error)))
        except AssertionError as error:
            self.failures.append(str(error))
            self.endings.append(Ended(None))
        finally:
            websocket.close()

    def stop(self):
        self.is_over.set()
        if self.current:
            self.current.close()

    def wait(self, seconds=20):
        assert self.is_over.wait(seconds), f"the peer is still wanted after {seconds} s: {self.endings}"
        return [ended.code for ended in self.endings]


class Place:
    def __init__(self, number):
        self.name = f"h{number}"
        self.path = f"/{self.name}"
        self.front = os.path.join(FOLDER, f"{self.name}.sock")
        self.servings = []

    def open(self, key=None, **headers):
        if key:
            headers["Sec_WebSocket_Protocol"] = f"nbd.session.{key}"
        return Websocket(PORT, self.path, **headers)

    def serve(self, handler, returns=True):
        self.servings.append(Serving(self, handler, returns))
        return self.servings[-1]

    def wait_serving(self, seconds=15):
        self.wait_until(lambda: is_listening(self.front), seconds, "the front does not come up")

    def wait_over(self, seconds=15):
        self.wait_until(lambda: not is_listening(self.front), seconds, "the session does not end")

    def wait_until(self, condition, seconds, what):
        until = time.monotonic() + seconds
        while not condition():
            failures = [failure for serving in self.servings for failure in serving.failures]
            endings = [ended for serving in self.servings for ended in serving.endings]
            assert time.monotonic() < until, f"{what}: {failures} {endings}"
            time.sleep(0.02)

    def client(self):
        self.wait_serving()
        return Client(self.front).go()

    def clear(self):
        for serving in self.servings:
            serving.stop()
        for serving in self.servings:
            serving.join(15)
        failures = [failure for serving in self.servings for failure in serving.failures]
        self.servings = []
        self.wait_over()
        assert not failures, failures


def ask(client, command=READ, offset=0, length=4096, cookie=77):
    """The errno of one request, and its data."""
    client.send(request(command, offset, length, cookie=cookie) + (bytes(length) if command == WRITE else b""))
    magic, error, got = struct.unpack(">IIQ", client.receive(16))
    assert (magic, got) == (0x67446698, cookie), (hex(magic), got)
    return error, client.receive(length) if command == READ and not error else b""


def asks_page(source="127.0.0.3"):
    """How long the page takes: the listener is there for others."""
    begin = time.monotonic()
    connection = connect(PORT, source)
    connection.sendall(head("/"))
    status, _, _ = read_answer(connection)
    assert status == 200, status
    connection.close()
    return time.monotonic() - begin


def expect_data(client, offset=0, length=4096):
    assert ask(client, READ, offset, length) == (0, contents(offset, length)), "wrong data"


def expect_io_fails(place, handler, codes, seconds=12):
    """The peer serves until the read in the second half; that one waits for the grace, and fails."""
    serving = place.serve(handler, returns=False)
    client = place.client()
    expect_data(client)
    begin = time.monotonic()
    try:
        error, _ = ask(client, READ, HALF_SIZE)
    except (AssertionError, ConnectionResetError):
        error = EIO  # the session is over, and with it the front
    took = time.monotonic() - begin
    assert error == EIO and took < seconds, f"errno {error} after {took:.1f} s"
    client.socket.close()
    ended = serving.wait()
    assert ended[0] in codes, f"closed with {ended} instead of {codes}"


def until_second_half(peer, misdeed):
    peer.shake_hands()
    while True:
        asked = peer.request()
        if asked[0] == READ and asked[2] == HALF_SIZE:
            return misdeed(peer, asked[1])
        peer.serve(asked)


def exchange(data):
    """The status of one request."""
    connection = connect(PORT)
    connection.sendall(data)
    status, _, _ = read_answer(connection)
    connection.close()
    return status
