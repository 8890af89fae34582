"""Peers whose frames are right, and whose NBD is not: in the handshake, in sizes, in replies, in silence.

What breaks the handshake ends the session with 4001 and words. What breaks transmission loses the peer its connection;
one that does it again and again, and whoever waits for it, gets an error soon.
"""

import struct
import time

import bad_server_transmission as transmission
from bad_server import (
    ACK, BLOCK_STATUS, FLUSH, GO, HALF_SIZE, READ, REP_INFO, SIZE, WRITE, contents,
)
from cases import case
from gateway_place import EIO, ask, expect_data, expect_io_fails, is_listening, until_second_half

FAILED = 4001
SIZE_MAX = 64 << 20  # of the configuration


def named(name, function):
    function.__name__ = name.replace(" ", "_").replace(",", "").replace("^", "_")
    case()(function)


# ---- the handshake

def infinite(peer, option, _):
    while True:
        peer.reply(option, REP_INFO, struct.pack(">H", 99) + bytes(100))


def size_of(size):
    def info(peer, option, _):
        peer.export_info(option, size)
        peer.reply(option, ACK)
        return option == GO
    return lambda peer: (peer.shake_hands(GO=info), peer.serve_on())


# name, what is done instead of a handshake, what its close frame says
HANDSHAKES = (
    ("another magic", lambda p: p.send(b"NBDMAGIK" + bytes(10)), "failed"),
    ("an old style server", lambda p: p.send(struct.pack(">8sQQI124x", b"NBDMAGIC", 0x420281861253, SIZE, 3)), "failed"),
    ("http instead", lambda p: p.send(b"HTTP/1.1 200 OK\r\n\r\n"), "failed"),
    ("a greeting cut short", lambda p: (p.send(b"NBDMAGIC"), p.socket.close()), None),
    ("noise", lambda p: (p.greet(), p.send(bytes(range(256)) * 400)), "failed"),
    ("another reply magic", lambda p: p.shake_hands(GO=lambda q, o, _: q.reply(o, ACK, magic=1)), "failed"),
    ("a reply to something else", lambda p: p.shake_hands(GO=lambda q, o, _: q.reply(o + 1, ACK)), "failed"),
    ("a reply of 4 GiB", lambda p: p.shake_hands(GO=lambda q, o, _: q.reply(o, REP_INFO, length=0xFFFFFFFF)), "failed"),
    ("replies without end", lambda p: p.shake_hands(GO=infinite), None),
    ("an end without a size", lambda p: p.shake_hands(GO=lambda q, o, _: (q.reply(o, ACK), True)[1]), "failed"),
    ("2^63 bytes", size_of(1 << 63), "failed"),
    ("2^64-1 bytes", size_of((1 << 64) - 1), "failed"),
    ("2^62 bytes", size_of(1 << 62), "more than the configuration's"),
    ("a block too many", size_of(SIZE_MAX + 4096), "more than the configuration's"),
)


def refused(handler, words):
    def function(place):
        serving = place.serve(handler, returns=False)
        serving.wait()
        ended = serving.endings[0]
        if words is None:
            return
        assert ended.code == FAILED, f"{ended}, not {FAILED}"
        assert words in ended.reason and ended.reason.isprintable(), f"its words: {ended.reason!r}"
        assert not is_listening(place.front), "there is a front nevertheless"
    return function


for name, handler, words in HANDSHAKES:
    named(name, refused(handler, words))


@case()
def sizes_that_are_odd(place):
    for size in (4097, 1_000_001, SIZE_MAX - 1, SIZE_MAX):
        serving = place.serve(size_of(size))
        client = place.client()
        expect_data(client)
        client.leave()
        serving.stop()
        place.clear()


@case()
def no_bytes_at_all(place):
    serving = place.serve(size_of(0))
    until = time.monotonic() + 3
    while not is_listening(place.front) and not serving.is_over.is_set() and time.monotonic() < until:
        time.sleep(0.05)


@case()
def silence_instead_of_a_greeting(place):
    """The configuration is free for the next one when that one has gone."""
    serving = place.serve(lambda peer: peer.wait_gone(), returns=False)
    time.sleep(1)
    serving.stop()
    place.clear()
    place.serve(size_of(SIZE))
    client = place.client()
    expect_data(client)
    client.leave()


# ---- transmission

def always(command, misdeed, shake_hands):
    """Serves well but for this command in the second half (a FLUSH: anywhere)."""
    def handler(peer):
        shake_hands(peer)
        while True:
            asked = peer.request()
            if asked[0] == command and (command == FLUSH or asked[2] >= HALF_SIZE):
                misdeed(peer, asked[1])
            else:
                peer.serve(asked)
    return handler


def breaks(command, misdeed, shake_hands=transmission.structured):
    def function(place):
        place.serve(always(command, misdeed, shake_hands))
        client = place.client()
        expect_data(client)
        begin = time.monotonic()
        try:
            error, _ = ask(client, command, 0 if command == FLUSH else HALF_SIZE, 0 if command == FLUSH else 4096)
        except (AssertionError, ConnectionResetError):
            error = EIO  # the session is over
        took = time.monotonic() - begin
        assert took < 12, f"took {took:.1f} s"
        # What was answered before the misdeed may have been answered well.
        assert error == EIO or misdeed in ANSWERED_BEFORE, f"errno {error}"
        client.socket.close()
    return function


ANSWERED_BEFORE = []
for name, command, misdeed, _ in transmission.MISDEEDS:
    if command != BLOCK_STATUS:  # the front does not ask for it
        if command == FLUSH or name == "chunk after the last":
            ANSWERED_BEFORE.append(misdeed)
        named(f"transmission {name}", breaks(command, misdeed))

named("a simple reply with another magic", breaks(READ, lambda p, c: p.simple(c, 0, bytes(4096), 1), transmission.plain))
named("a simple reply to nobody", breaks(READ, lambda p, c: p.simple(c + 1, 0, bytes(4096)), transmission.plain))


def twice(peer, cookie):
    for _ in range(2):
        peer.simple(cookie, 0, contents(HALF_SIZE, 4096))


ANSWERED_BEFORE.append(twice)
named("a reply twice", breaks(READ, twice, transmission.plain))


@case()
def every_errno(place):
    """All are errors to who asked, and none the end of anything."""
    numbers = [*(n for n in range(1, 140) if n != 108), 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
    left = iter(numbers)
    place.serve(always(READ, lambda p, c: p.simple(c, next(left)), transmission.plain))
    client = place.client()
    for number in numbers:
        error, _ = ask(client, READ, HALF_SIZE)
        assert error != 0, f"errno {number} is success"
        expect_data(client)
    assert len(place.servings[0].endings) == 0, "the connection was ended"
    client.leave()


@case()
def errors_to_writes_and_flushes(place):
    place.serve(always(WRITE, lambda p, c: p.simple(c, 28), transmission.plain))
    client = place.client()
    assert ask(client, WRITE, HALF_SIZE)[0] == 28
    assert ask(client, WRITE, 0)[0] == 0
    expect_data(client)
    client.leave()


@case()
def silence_in_the_middle_of_a_reply(place):
    def misdeed(peer, cookie):
        data = struct.pack(">IIQ", 0x67446698, 0, cookie) + contents(HALF_SIZE, 2048)
        peer.send(data)
        peer.wait_gone()

    expect_io_fails(place, lambda peer: until_second_half(peer, misdeed), (None, 1000))


@case()
def silence_behind_the_head_of_a_reply(place):
    def misdeed(peer, cookie):
        peer.send(struct.pack(">IIQ", 0x67446698, 0, cookie))
        peer.wait_gone()

    expect_io_fails(place, lambda peer: until_second_half(peer, misdeed), (None, 1000))


@case()
def silence_behind_the_head_again_and_again(place):
    """It comes back each time, for ever: the reader has its error nevertheless."""
    def misdeed(peer, cookie):
        peer.send(struct.pack(">IIQ", 0x67446698, 0, cookie))
        peer.wait_gone()

    place.serve(lambda peer: until_second_half(peer, misdeed))
    client = place.client()
    begin = time.monotonic()
    error, _ = ask(client, READ, HALF_SIZE)
    assert error == EIO, error
    assert time.monotonic() - begin < 15
    client.socket.close()


@case()
def gone_after_each_request(place):
    """It comes back, shakes hands and closes in place of the answer: not for ever."""
    place.serve(lambda peer: until_second_half(peer, lambda p, _: p.socket.close()))
    client = place.client()
    client.socket.settimeout(40)
    try:
        error, _ = ask(client, READ, HALF_SIZE)
    except (AssertionError, ConnectionResetError):
        error = EIO  # the session is over
    assert error == EIO, error
    client.socket.close()


@case()
def another_size_after_coming_back(place):
    """Not the disk that it was: nothing of it is read."""
    def handler(peer):
        if peer.number == 1:
            return until_second_half(peer, lambda p, _: p.socket.close())
        return size_of(SIZE // 2)(peer)

    place.serve(handler)
    client = place.client()
    try:
        error, _ = ask(client, READ, HALF_SIZE)
    except (AssertionError, ConnectionResetError):
        error = EIO
    assert error == EIO, error
    client.socket.close()
