"""Heads that are no heads, that are too long, too slow or too many, and requests for what nobody may have."""

import os
import socket
import struct
import time

from cases import case
from gateway_place import PORT, asks_page, exchange
from websocket import connect, head, read_answer, upgrade

# name, bytes, the status that is due; None: closed without a word
HEADS = [
    ("noise", bytes(range(256)) * 8, 400),
    ("zeros", bytes(8192), 400),
    ("tls_hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(509), 400),
    ("nbd_greeting", b"NBDMAGICIHAVEOPT\x00\x03", 400),
    ("line_feeds", head("/").replace(b"\r\n", b"\n"), 400),
    ("a_folded_line", head("/").replace(b"\r\n\r\n", b"\r\nA: b\r\n c\r\n\r\n"), 400),
    ("no_host", head("/", Host=None), 400),
    ("two_hosts", head("/").replace(b"\r\n\r\n", b"\r\nHost: other\r\n\r\n"), 400),
    ("http_1_0", head("/", version="HTTP/1.0"), 505),
    ("http_2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("nine_kilobytes", head("/", A="b" * 9000), 431),
    ("a_line_of_nine_kilobytes", head("/" + "a" * 9000), 414),
    ("seventy_headers", head("/", **{f"H{n}": "v" for n in range(70)}), 431),
    ("a_body_of_16_eib", head("/api/login", "POST", Content_Length=str(1 << 64)), 400),
    ("a_body_of_1_tib", head("/api/login", "POST", Content_Length=str(1 << 40)), 413),
    ("chunks", head("/api/login", "POST", Transfer_Encoding="chunked"), 501),
    ("put", head("/", "PUT"), 405),
    ("out_of_the_page", head("/../../../etc/passwd"), (400, 404)),
    ("out_of_the_page_encoded", head("/%2e%2e/%2e%2e/etc/passwd"), (400, 404)),
    ("a_nul_in_the_path", head("/%00"), (400, 404)),
    ("nothing_there", head("/nothing"), 404),
    ("login_without_post", head("/api/login"), 405),
    ("a_session_nobody_knows", head("/api/session", Authorization="Bearer-Session " + "A" * 43), 404),
    ("no_websocket", head("/h0"), 426),
]

# name, what is different in an upgrade, the status
UPGRADES = [
    ("another_origin", {"Origin": "https://evil.example"}, 403),
    ("an_origin_that_is_null", {"Origin": "null"}, 403),
    ("an_origin_that_begins_alike", {"Origin": "http://127.0.0.1.evil.example"}, 403),
    ("version_8", {"Sec_WebSocket_Version": "8"}, 426),
    ("no_version", {"Sec_WebSocket_Version": None}, 426),
    ("no_key", {"Sec_WebSocket_Key": None}, 400),
    ("a_short_key", {"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
    ("a_key_of_something_else", {"Sec_WebSocket_Key": "!" * 24}, 400),
    ("not_a_connection_header", {"Connection": "close"}, 400),
    ("a_body", {"Content_Length": "5"}, 400),
    ("nine_protocols", {"Sec_WebSocket_Protocol": ", ".join(f"p{n}" for n in range(9))}, 400),
    ("a_protocol_twice", {"Sec_WebSocket_Protocol": "a, a"}, 400),
    ("a_protocol_that_is_none", {"Sec_WebSocket_Protocol": "a b"}, 400),
]


def expect_status(data, due):
    def function(_):
        status = exchange(data)
        assert status in (due if isinstance(due, tuple) else (due,)), f"status {status} instead of {due}"
    return function


for name, data, due in HEADS:
    test = expect_status(data, due)
    test.__name__ = name
    case()(test)
for name, different, due in UPGRADES:
    test = expect_status(upgrade("/h0", **different), due)
    test.__name__ = name
    case()(test)


@case()
def an_upgrade_nowhere(_):
    assert exchange(upgrade("/nowhere")) == 404
    assert exchange(upgrade("/")) == 404


@case()
def words_for_a_terminal_in_everything(place):
    """Nobody's log shows them as they are: gateway_run.py looks at it."""
    nasty = "\x1b[2J\x07\xff\u00e9%0a%1b%5b2J"
    exchange(upgrade(f"{place.path}%0anbdring:%20error", Origin=nasty.replace("\x1b", "").replace("\x07", "")))
    exchange(head("/" + "%1b%5b2J" * 100))
    websocket = place.open(Sec_WebSocket_Protocol="nbd.token.x")
    websocket.close()
    websocket = place.open(User_Agent=nasty.replace("\x1b", "").replace("\x07", ""))
    websocket.close()


@case()
def a_second_request_behind_the_first(_):
    connection = connect(PORT)
    connection.sendall(head("/") + head("/page.css") * 50)
    status, headers, rest = read_answer(connection)
    assert status == 200
    while piece := connection.recv(1 << 16):
        rest += piece
    assert len(rest) == int(headers["content-length"]), "more than one answer"
    connection.close()


@case()
def half_closed_behind_the_head(_):
    connection = connect(PORT)
    connection.sendall(head("/"))
    connection.shutdown(socket.SHUT_WR)
    status, headers, rest = read_answer(connection)
    while piece := connection.recv(1 << 16):
        rest += piece
    assert status == 200 and len(rest) == int(headers["content-length"]), (status, len(rest))
    connection.close()


@case()
def half_closed_within_the_head(_):
    connection = connect(PORT)
    connection.sendall(head("/")[:20])
    connection.shutdown(socket.SHUT_WR)
    assert read_answer(connection)[0] is None
    connection.close()


@case()
def five_hundred_that_are_reset(_):
    for n in range(500):
        connection = connect(PORT, f"127.0.1.{n % 250 + 1}")
        connection.sendall((head("/"), upgrade("/h0")[:50], b"G")[n % 3])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert asks_page() < 5


@case()
def a_hundred_at_once_from_one_address(_):
    """Sixty-four of them are listened to, the others not at all; another address is not concerned."""
    crowd = [connect(PORT, "127.0.0.4") for _ in range(100)]
    assert asks_page("127.0.0.5") < 5
    answered = 0
    for connection in crowd:
        try:
            connection.sendall(head("/nothing"))
            answered += read_answer(connection)[0] == 404
        except OSError:
            pass
        connection.close()
    assert answered == 64, answered


def trickle(connections, seconds):
    """A byte now and then into each. How long each lived."""
    begin, ended = time.monotonic(), {}
    while time.monotonic() < begin + seconds and len(ended) < len(connections):
        for connection in connections:
            if connection in ended:
                continue
            connection.settimeout(0.001)
            try:
                connection.send(b"a")
                status, _, _ = read_answer(connection)
                ended[connection] = (status, time.monotonic() - begin)
            except TimeoutError:
                pass
            except OSError:
                ended[connection] = (None, time.monotonic() - begin)
        time.sleep(0.2)
    return list(ended.values())


@case()
def slow_silent_and_greedy_ones(_):
    """Heads that come a byte at a time, connections that say nothing, and answers that nobody reads: for 10 s.

    Half as many as the gateway takes at once: the other cases run beside this one."""
    slow = [connect(PORT, f"127.0.2.{n % 50 + 1}") for n in range(60)]
    for connection in slow:
        connection.sendall(b"GET /")
    silent = [connect(PORT, f"127.0.3.{n % 50 + 1}") for n in range(30)]
    greedy = []
    for n in range(30):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        connection.bind((f"127.0.4.{n + 1}", 0))
        connection.connect(("127.0.0.1", PORT))
        connection.sendall(head("/main.js"))
        greedy.append(connection)
    assert asks_page() < 5, "others wait"
    ended = trickle(slow, 20)
    assert len(ended) == len(slow), f"{len(slow) - len(ended)} are still there"
    # 10 s from their coming, which asks_page() has used up a part of.
    assert all(4 < took < 16 for _, took in ended), ended
    assert sum(status == 408 for status, _ in ended) > 54, ended
    for connection in silent:
        connection.settimeout(10)
        assert read_answer(connection)[0] in (408, None)
    for connection in slow + silent + greedy:
        connection.close()


@case()
def a_thousand_that_come_and_go(_):
    for n in range(1000):
        connection = connect(PORT, f"127.0.5.{n % 250 + 1}")
        connection.sendall(os.urandom(64) if n % 2 else head("/nothing"))
        connection.close()
