#!/usr/bin/env python3
"""Python's websockets as the peer of our stream: codec_peer.py PROGRAM FOLDER

PROGRAM is build/tests/websocket_oracle; it connects to a Unix socket in FOLDER and sends back what it receives. Both
roles: payload of every size in fragments with pings between them comes back whole; both ends of the close handshake;
and breaches of the protocol, where our close code has to be the one that Python's own end of the same role would say.
"""
import os
import random
import select
import socket
import struct
import subprocess
import sys

from websockets.connection import OPEN, Connection, Side
from websockets.frames import Close, Opcode

DEADLINE = 20  # seconds for anything
program, folder = sys.argv[1:3]
OTHER = {'client': Side.SERVER, 'server': Side.CLIENT}


class Peer:
    """Our program in the given role, and Python's end of it."""

    def __init__(self, role):
        self.role = role
        path = os.path.join(folder, 'socket')
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(DEADLINE)
        self.process = subprocess.Popen([program, f'echo-{role}', path], stdout=subprocess.PIPE, text=True)
        self.socket = listener.accept()[0]
        self.socket.settimeout(DEADLINE)
        listener.close()
        os.unlink(path)
        self.protocol = Connection(OTHER[role], state=OPEN, max_size=None)
        self.arrived = bytearray()
        self.payload = bytearray()
        self.pongs = []
        self.close = None

    def flush(self):
        """Sends what there is to send, and receives meanwhile: our program sends back while we send."""
        for data in self.protocol.data_to_send():
            rest = memoryview(data)
            while rest:
                readable, writable, _ = select.select([self.socket], [self.socket], [], DEADLINE)
                assert readable or writable, 'nothing moves'
                if writable:
                    try:
                        rest = rest[self.socket.send(rest, socket.MSG_DONTWAIT):]
                    except BrokenPipeError:
                        return  # it has gone; what it said last is still to be received
                if readable:
                    self.arrived += self.socket.recv(1 << 20)

    def receive(self):
        """Waits for bytes; False at the end."""
        data, self.arrived = bytes(self.arrived) or self.socket.recv(1 << 20), bytearray()
        if not data:
            self.protocol.receive_eof()
            return False
        self.protocol.receive_data(data)
        for frame in self.protocol.events_received():
            if frame.opcode in (Opcode.BINARY, Opcode.CONT):
                self.payload += frame.data
            elif frame.opcode is Opcode.PONG:
                self.pongs.append(bytes(frame.data))
            elif frame.opcode is Opcode.CLOSE:
                self.close = Close.parse(frame.data)
            else:
                assert frame.opcode is Opcode.PING, frame
        self.flush()
        return True

    def end(self):
        """What our program says about the end."""
        while self.receive():
            pass
        self.socket.close()
        said = self.process.communicate(timeout=DEADLINE)[0].strip()
        assert self.process.returncode == 0, self.process.returncode
        return said


def echoes(role, seed):
    peer = Peer(role)
    chance = random.Random(seed)
    said = bytearray()
    in_message = False
    for number in range(60):
        if chance.random() < 0.3:
            peer.protocol.send_ping(b'ping %d' % number)
        size = chance.choice([0, 1, 125, 126, 127, 4096, 65535, 65536, 131072, 1 << 20, chance.randrange(5000)])
        data = chance.randbytes(size)
        said += data
        fin = chance.random() < 0.6
        (peer.protocol.send_continuation if in_message else peer.protocol.send_binary)(data, fin)
        in_message = not fin
        peer.flush()
        while len(peer.payload) < len(said):
            assert peer.receive(), 'ended early'
    assert peer.payload == said, 'what came back is not what was sent'
    assert peer.pongs and all(pong.startswith(b'ping ') for pong in peer.pongs), peer.pongs
    # Quiet for a while: it pings, Python answers, and it stays.
    if in_message:
        peer.protocol.send_continuation(b'', True)
    peer.flush()
    peer.socket.settimeout(DEADLINE)
    for _ in range(3):
        assert peer.receive(), 'gave up a peer that answers its pings'
    peer.protocol.send_close(4321, 'gr\u00fc\u00dfe')
    peer.flush()
    assert peer.end() == 'peer clean 4321 gr\u00fc\u00dfe'
    assert peer.close == Close(4321, ''), peer.close


def silent_peer(role):
    peer = Peer(role)
    peer.protocol.send_binary(b'once')
    peer.flush()
    received = bytearray()
    while data := peer.socket.recv(65536):  # Python's end hears nothing, so it answers nothing
        received += data
    peer.protocol.receive_eof()
    said = peer.process.communicate(timeout=DEADLINE)[0].strip()
    assert said == 'peer unclean 1006 no sign of life', said
    assert bytes(received).count(b'\x89') >= 2, 'no ping'


def wire(role, first, payload=b'', masked=None, length=None, form=None):
    """A frame as it should not be; role: ours."""
    masked = role == 'server' if masked is None else masked
    length = len(payload) if length is None else length
    form = form or (7 if length < 126 else 16 if length < 65536 else 64)
    mask = 0x80 if masked else 0
    head = bytes([first, mask | (length & 0x7f if form == 7 else 126 if form == 16 else 127)])
    head += {7: b'', 16: struct.pack('!H', length & 0xffff), 64: struct.pack('!Q', length)}[form]
    return head + (b'\0\0\0\0' if masked else b'') + payload


def breaches(role):
    def close(payload):
        return wire(role, 0x88, payload)
    for reserved in (0x40, 0x20, 0x10):
        yield 'reserved bit', wire(role, 0x82 | reserved, b'x')
    for opcode in (3, 7, 11, 15):
        yield 'reserved opcode', wire(role, 0x80 | opcode)
    yield 'mask', wire(role, 0x82, b'x', masked=role == 'client')
    yield 'mask of a ping', wire(role, 0x89, b'x', masked=role == 'client')
    yield 'continuation of nothing', wire(role, 0x80, b'x')
    yield 'message in a message', wire(role, 0x02, b'x') + wire(role, 0x82, b'y')
    yield 'fragment of a ping', wire(role, 0x09)
    yield 'long ping', wire(role, 0x89, bytes(126))
    yield 'close of one byte', close(b'\x03')
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000):
        yield f'close code {code}', close(struct.pack('!H', code))
    yield 'close reason', close(b'\x03\xe8\xff')
    yield 'close reason cut in a character', close(b'\x03\xe8r\xc3')


def python_says(role, data):
    """The code that Python's end in our role closes with."""
    judge = Connection(Side.SERVER if role == 'server' else Side.CLIENT, state=OPEN, max_size=None)
    judge.receive_data(data)
    return judge.close_sent.code if judge.close_sent else None


def breach(role, what, data, expected):
    peer = Peer(role)
    peer.socket.sendall(data)
    try:
        said = peer.end()
    except ConnectionResetError:
        said = peer.process.communicate(timeout=DEADLINE)[0].strip()
    assert peer.close and peer.close.code == expected, f'{role}, {what}: {peer.close}, Python says {expected}'
    assert said.startswith(f'us unclean {expected} '), f'{role}, {what}: {said}'


def main():
    count = 0
    for role in ('client', 'server'):
        for seed in (1, 2, 3):
            echoes(role, seed)
        print(f'ok: as a {role}, 3 conversations of 60 messages came back whole, pings answered, closed cleanly')
        silent_peer(role)
        print(f'ok: as a {role}, a silent peer is dead after three seconds')
        for what, data in breaches(role):
            breach(role, what, data, python_says(role, data))
            count += 1
        breach(role, 'text', wire(role, 0x81, b'text'), 1003)
        # Python's end takes these.
        breach(role, 'highest bit of a length', wire(role, 0x82, length=1 << 63), 1002)
        breach(role, 'length not shortest', wire(role, 0x82, bytes(5), form=16), 1002)
    print(f'ok: {count} breaches closed with the code that Python gives')


main()
