"""Frames that break RFC 6455: the right close code each time, at the first frame and while a session is served."""

import struct
import time

from bad_server import HALF_SIZE, IHAVEOPT, READ, Peer
from cases import case
from gateway_place import PORT, asks_page, expect_data, expect_io_fails, until_second_half
from websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Websocket, frame
from wire import request


def close_frame(code, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


# name, bytes, the close code that is due
BREACHES = [
    ("unmasked", frame(BINARY, b"hello", mask=False), 1002),
    ("unmasked_ping", frame(PING, b"", mask=False), 1002),
    *((f"reserved_bit_{rsv}", frame(BINARY, b"hello", rsv=rsv), 1002) for rsv in (1, 2, 4, 7)),
    *((f"opcode_{opcode}", frame(opcode, b"hello"), 1002) for opcode in (3, 7, 11, 15)),
    ("length_2_63", frame(BINARY, b"", length=1 << 63, form=8), 1002),
    ("length_2_64_1", frame(BINARY, b"", length=(1 << 64) - 1, form=8), 1002),
    ("length_125_in_16_bits", frame(BINARY, bytes(125), form=2), 1002),
    ("length_125_in_64_bits", frame(BINARY, bytes(125), form=8), 1002),
    ("length_65535_in_64_bits", frame(BINARY, bytes(65535), form=8), 1002),
    ("length_0_in_64_bits", frame(BINARY, b"", form=8), 1002),
    ("text", frame(TEXT, b"NBDMAGIC"), 1003),
    ("text_in_fragments", frame(TEXT, b"NBD", final=False) + frame(CONTINUATION, b"MAGIC"), 1003),
    ("ping_in_fragments", frame(PING, b"a", final=False), 1002),
    ("close_in_fragments", frame(CLOSE, b"\x03\xe8", final=False), 1002),
    ("ping_of_126", frame(PING, bytes(126)), 1002),
    ("ping_of_4_gib", frame(PING, b"", length=1 << 32, form=8), 1002),
    ("continuation_of_nothing", frame(CONTINUATION, b"hello"), 1002),
    ("message_within_a_message", frame(BINARY, b"", final=False) + frame(BINARY, b"x"), 1002),
    ("text_within_a_message", frame(BINARY, b"", final=False) + frame(TEXT, b"x"), 1002),
    ("close_of_one_byte", frame(CLOSE, b"\x03"), 1002),
    *((f"close_code_{code}", close_frame(code), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535)),
    ("close_reason_not_utf8", close_frame(1000, b"\xc3\x28"), 1007),
    ("close_reason_cut_short", close_frame(1000, b"\xe2\x82"), 1007),
    ("close_reason_surrogate", close_frame(1000, b"\xed\xa0\x80"), 1007),
    ("two_hundred_pings", frame(PING, b"?") * 200, 1008),
    ("two_hundred_pongs", frame(PONG, b"!") * 200, 1008),
]


def at_once(data, code):
    def function(place):
        websocket = place.open()
        websocket.send_raw(data)
        ended = websocket.wait_ended()
        assert ended.code == code, f"{ended} instead of {code}"
    return function


def while_served(data, code):
    def misdeed(peer, _):
        peer.socket.send_raw(data)

    def function(place):
        expect_io_fails(place, lambda peer: until_second_half(peer, misdeed), (code,))
    return function


for name, breach, due in BREACHES:
    for make in (at_once, while_served):
        test = make(breach, due)
        test.__name__ = f"{name}_{make.__name__}"
        case()(test)


@case()
def a_reply_in_tiny_frames(place):
    """Right, however odd: a byte a frame, with pings and empty frames between them."""
    def misdeed(peer, cookie):
        sent, peer.socket.sendall = [], lambda data: sent.append(bytes(data))
        peer.serve((READ, cookie, HALF_SIZE, 512, b""))
        del peer.socket.sendall
        data = b"".join(sent)
        pieces = [frame(BINARY if n == 0 else CONTINUATION, data[n:n + 1], final=n == len(data) - 1)
                  for n in range(len(data))]
        pieces[100:100] = [frame(PING, b"middle")]
        pieces[200:200] = [frame(CONTINUATION, b"", final=False)] * 50
        peer.socket.send_raw(b"".join(pieces))
        peer.serve_on()

    place.serve(lambda peer: until_second_half(peer, misdeed))
    client = place.client()
    expect_data(client, HALF_SIZE, 512)
    expect_data(client)
    client.leave()


@case()
def empty_frames_without_end(place):
    """In a session, and waiting for a lane beside one: others are served meanwhile."""
    def misdeed(peer, _):
        until = time.monotonic() + 2
        flood = frame(BINARY, b"", final=False) + frame(CONTINUATION, b"", final=False) * 10_000
        while time.monotonic() < until:
            peer.socket.send_raw(flood)
            flood = flood[-60_000:]

    place.serve(lambda peer: until_second_half(peer, misdeed), returns=False)
    client = place.client()
    client.send(request(READ, HALF_SIZE, 512))
    for _ in range(10):
        took = asks_page()
        assert took < 5, f"the page took {took:.1f} s"
        time.sleep(0.1)
    client.socket.close()


@case()
def pings_without_end(place):
    websocket = place.open()
    try:
        for _ in range(2000):
            websocket.send_raw(frame(PING, bytes(125)) * 100)
    except OSError:
        pass
    assert websocket.wait_ended().code in (1008, None)


@case()
def half_closed_while_served(place):
    def misdeed(peer, _):
        peer.socket.socket.shutdown(1)

    expect_io_fails(place, lambda peer: until_second_half(peer, misdeed), (None, 1000, 1002))


@case()
def a_message_of_2_62_bytes(place):
    """Its length is right. What is in it is a good server's, then nothing."""
    def misdeed(peer, _):
        peer.socket.send_raw(frame(BINARY, b"", length=1 << 62, form=8))

    expect_io_fails(place, lambda peer: until_second_half(peer, misdeed), (None, 1000, 1002))


@case()
def nothing_more_is_said_or_read(place):
    def misdeed(peer, _):
        time.sleep(4)

    expect_io_fails(place, lambda peer: until_second_half(peer, misdeed), (None, 1000))


@case()
def frames_in_one_breath_with_the_head(place):
    """They are not lost: the greeting is in them."""
    greeting = struct.pack(">8sQH", b"NBDMAGIC", IHAVEOPT, 3)
    behind = frame(BINARY, greeting[:5], final=False) + frame(CONTINUATION, greeting[5:])
    websocket = Websocket(PORT, place.path, behind=behind)
    assert len(Peer(websocket, 1).receive(4)) == 4  # the client's flags
    websocket.send_raw(close_frame(1000))
    ended = websocket.wait_ended()
    assert ended.code == 1000, ended
