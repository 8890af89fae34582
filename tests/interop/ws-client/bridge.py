"""A websocket server by Python's `websockets` that passes bytes on to an NBD server on a Unix socket.

bridge.py SOCKET [--port N] [--cut N] [--ping SECONDS] [--tls FOLDER [--clients]] [--tokens FILE]

Prints its port once it listens. --cut: what comes from the NBD server is sent in messages of many
small fragments of about N bytes, with pings in between. --tls: FOLDER/server-cert.pem and -key.pem;
--clients: they need a certificate of FOLDER/ca-cert.pem. --tokens: only who shows `Bearer TOKEN`
with the token that is in FILE comes in, and each use makes a new one: in FILE, and in the header
Nbdring-Next-Token; who comes back shows the subprotocol nbd.session.KEY that Nbdring-Session told.
"""

import argparse
import asyncio
import http
import random
import secrets
import ssl

import websockets

options = argparse.ArgumentParser()
options.add_argument("socket")
options.add_argument("--port", type=int, default=0)
options.add_argument("--cut", type=int, default=0)
options.add_argument("--ping", type=float, default=20)
options.add_argument("--tls")
options.add_argument("--clients", action="store_true")
options.add_argument("--tokens")
options = options.parse_args()
random.seed(1)
sessions = set()


async def pieces(reader, websocket):
    """One message's fragments; a ping between some of them."""
    while data := await reader.read(64 << 10):
        while data:
            size = random.randint(1, 2 * options.cut)
            yield data[:size]
            data = data[size:]
            if random.random() < 0.01:
                await websocket.ping()
        if random.random() < 0.1:
            return


async def to_peer(reader, websocket):
    while not reader.at_eof():
        if options.cut:
            await websocket.send(pieces(reader, websocket))
        elif data := await reader.read(256 << 10):
            await websocket.send(data)
    await websocket.close()


async def from_peer(writer, websocket):
    async for message in websocket:
        assert isinstance(message, bytes), "a text message"
        writer.write(message)
        await writer.drain()
    writer.close()


async def serve(websocket):
    reader, writer = await asyncio.open_unix_connection(options.socket)
    try:
        await asyncio.gather(to_peer(reader, websocket), from_peer(writer, websocket))
    except websockets.ConnectionClosed:
        pass
    finally:
        writer.close()


class Guarded(websockets.WebSocketServerProtocol):
    """Lets in with the token of the day, or with the session that it has led to."""

    def process_subprotocol(self, headers, available):
        return None

    async def process_request(self, path, headers):
        shown = headers.get("Sec-WebSocket-Protocol", "").removeprefix("nbd.session.")
        if shown in sessions:
            return None
        wanted = open(options.tokens).read().strip()
        given = headers.get("Authorization")
        if given is None:
            return http.HTTPStatus.UNAUTHORIZED, [], b""
        if given != f"Bearer {wanted}":
            return http.HTTPStatus.FORBIDDEN, [], b""
        self.next_token = f"id{secrets.token_hex(4)}:{secrets.token_urlsafe(16)}"
        open(options.tokens, "w").write(self.next_token)
        return None


def told(path, headers):
    """Of the one who has just come in with a token."""
    session = secrets.token_urlsafe(16)
    sessions.add(session)
    return [("Nbdring-Next-Token", open(options.tokens).read()), ("Nbdring-Session", session)]


async def main():
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{options.tls}/server-cert.pem", f"{options.tls}/server-key.pem")
        if options.clients:
            context.load_verify_locations(f"{options.tls}/ca-cert.pem")
            context.verify_mode = ssl.CERT_REQUIRED
    guard = {"create_protocol": Guarded, "extra_headers": told} if options.tokens else {}
    async with websockets.serve(serve, "127.0.0.1", options.port, ssl=context, max_size=None,
                                compression=None, ping_interval=options.ping, **guard) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
