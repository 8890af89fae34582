"""Who guesses: tokens, session keys and headers that are none, as many as fit in. Nobody gets in, and nothing is told."""

import os
import random

from cases import case
from gateway_place import PORT, asks_page, exchange
from websocket import connect, head, read_answer, upgrade

LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def guess(length):
    return "".join(chr(LETTERS[byte % 64]) for byte in os.urandom(length))


def login(value):
    connection = connect(PORT, f"127.0.6.{random.randrange(1, 250)}")
    connection.sendall(head("/api/login", "POST", Authorization=value))
    status, _, rest = read_answer(connection)
    connection.close()
    return status, rest


CREDENTIALS = (
    None, "", "Bearer", "Bearer ", "Bearer :", "Bearer a:", "Bearer :b", "Bearer a:b:c", "Basic YTpi", "Bearer " + "a" * 7000,
    "Bearer ../../etc/passwd:x", "Bearer 0123456789abcdef:" + "A" * 43, "bearer a:b", "Bearer a:b, Bearer c:d",
    "Bearer-Session", "Bearer-Session " + "A" * 43, "Bearer \u00ff\u00fe:x", "Bearer a:" + "%00" * 20,
)


@case()
def credentials_of_all_kinds(_):
    for value in CREDENTIALS:
        status, rest = login(value)
        assert status in (400, 401, 403), f"status {status} for {value!r}"
        assert status == 400 or b"access denied" in rest, rest


@case()
def a_thousand_guesses(_):
    for _ in range(1000):
        status, _ = login(f"Bearer {guess(16)}:{guess(43)}")
        assert status == 403, status
    assert asks_page() < 5


@case()
def a_thousand_guesses_as_subprotocols(place):
    for n in range(1000):
        kind = f"nbd.token.{guess(16)}.{guess(43)}" if n % 2 else f"nbd.session.{guess(43)}"
        status = exchange(upgrade(place.path, Sec_WebSocket_Protocol=kind))
        assert status == 403, f"status {status} for {kind}"


@case()
def nobody_without_a_token(place):
    for _ in range(100):
        assert exchange(upgrade(place.path)) == 401
        assert exchange(upgrade(place.path, Sec_WebSocket_Protocol="nbd.token.")) in (401, 403)
        assert exchange(upgrade(place.path, Sec_WebSocket_Protocol="binary")) == 401
