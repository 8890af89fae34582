"""Many. The server runs with --max-clients 64."""

import socket

from cases import case
from server import descriptors, wait_for
from wire import Client, FLAGS, HALF, OPT_GO, READ, info, option, request


@case()
def ten_thousand_come_and_go():
    for n in range(10_000):
        client = Client()
        if n % 10 == 0:
            client.receive(18)
        client.socket.close()


@case(*[r"refused.*limit=64"] * 137)
def two_hundred_at_once():
    clients, served = [Client() for _ in range(200)], []
    for client in clients:
        try:
            client.receive(18)
            served.append(client)
        except (AssertionError, ConnectionResetError):
            client.socket.close()
    assert len(served) == 63, len(served)  # and the well-behaved one
    for client in served:
        client.send(FLAGS + option(OPT_GO, info()) + request(READ, HALF, 512))
    for client in served:
        client.receive(20 + 12 + 20 + 14 + 20 + 16 + 512)
        client.leave()
    assert wait_for(lambda: descriptors() < 40)
    Client().go().leave()  # there is room again
