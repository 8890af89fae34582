"""What breaks the transmission phase, and leaving in the middle of anything."""

import contextlib
import socket
import struct

from cases import case
from wire import (
    BLOCK_STATUS, CACHE, Client, DISC, EINVAL, ENOSPC, EOVERFLOW, FLUSH, HALF, READ, SIZE, TRIM,
    WRITE, WRITE_ZEROES, request, whole_session,
)


@case(r"request magic: \d+ \(0xbad0bad\)")
def a_request_with_bad_magic():
    client = Client().go()
    client.send(request(READ, 0, 512, magic=0x0BAD0BAD))
    client.expect_dropped()


@case(r"4294967295")
def a_write_of_4_gib():
    client = Client().go()
    client.send(request(WRITE, 0, 0xFFFFFFFF))
    client.expect_dropped()


@case()
def a_read_of_4_gib():
    client = Client().go()
    client.send(request(READ, 0, 0xFFFFFFFF))
    client.expect_reply(1, EINVAL)
    client.send(request(READ, 0, 48 << 20))  # within the export, beyond the maximum payload
    client.expect_reply(1, EOVERFLOW)
    client.expect_alive()
    client.leave()


@case()
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


@case()
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


@case()
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


@case()
def the_same_cookie_for_everything():
    client = Client().go()
    client.send(b"".join(request(READ, HALF, 512, cookie=7) for _ in range(500)))
    for _ in range(500):
        client.expect_reply(7, 0, 512)
    client.leave()


@case()
def disconnect_with_requests_in_flight():
    client = Client().go()
    client.send(b"".join(request(READ, HALF + n * 4096, 4096, cookie=n) for n in range(64)) + request(DISC))
    with contextlib.suppress(BrokenPipeError):  # the server may have gone by now
        client.send(request(READ, 0, 512, cookie=99))  # nobody reads this
    replies = {struct.unpack(">IIQ", client.receive(16) + client.receive(4096)[:0])[2] for _ in range(64)}
    assert replies == set(range(64))
    client.expect_dropped()


@case()
def half_a_goodbye_still_gets_replies():
    client = Client().go()
    client.send(b"".join(request(READ, HALF, 4096, cookie=n) for n in range(64)))
    client.socket.shutdown(socket.SHUT_WR)
    for _ in range(64):
        client.receive(16 + 4096)
    client.expect_dropped()


@case(at_most=20)
def gone_with_replies_unread():
    for _ in range(20):
        client = Client().go()
        client.send(b"".join(request(READ, HALF, 65536, cookie=n) for n in range(64)))
        client.socket.close()


@case(r"disconnected in the middle of a request")
def gone_in_the_middle_of_a_write():
    client = Client().go()
    client.send(request(WRITE, HALF, 1 << 20) + b"w" * 300_000)
    client.socket.close()


@case(at_most=3000)
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


@case()
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
