#!/usr/bin/python3
"""A websocket peer of `nbdring gateway`: carries each websocket to an NBD server on a Unix socket.

    gateway-peer.py URL NBD-SOCKET [--connections N] [--image ID] [--login [NAME]] [--token ID.SECRET]
                    [--certificates FOLDER]

With --login it asks for a session of that configuration (default: the one that the URL's path is called after) first,
as the page does; without, each websocket is on its own.

Keeps N websockets open and opens them again when they end, until the gateway says not to come back. Prints a line
for each event: "open", "closed CODE REASON", "refused STATUS". Commands on standard input, a line each:
    eject   close all with 1000, and end          drop    cut all connections without a word, and stay away
    leave   close all with 1001, and stay away    back    come again
    end     end at once
"""
import argparse
import asyncio
import json
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

import websockets

FINAL = (4000, 4001)  # do not come back


def say(*words):
    print(*words, flush=True)


class Peer:
    def __init__(self, options):
        self.options = options
        self.here = asyncio.Event()
        self.here.set()
        self.sockets = set()
        self.is_over = False
        self.session = ''

    def login(self):
        url = urllib.parse.urlsplit(self.options.url)
        name = url.path.strip('/') if self.options.login == '/' else self.options.login
        request = urllib.request.Request(f'http://{url.netloc}/api/login?configuration={name}', method='POST')
        if self.options.token:
            request.add_header('Authorization', 'Bearer ' + self.options.token.replace('.', ':'))
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                fields = json.load(answer)
        except urllib.error.HTTPError as error:
            say('refused', error.code)
            return False
        self.session = fields['session']
        say('login', fields['configuration'], fields['path'], self.session, fields['next_token'])
        return True

    def url(self):
        image = self.options.image
        return self.options.url + (f'?image={image}&connections={self.options.connections}' if image else '')

    def tls(self):
        folder = self.options.certificates
        if not folder:
            return None
        context = ssl.create_default_context(cafile=os.path.join(folder, 'ca-cert.pem'))
        certificate, key = (os.path.join(folder, f'client-{part}.pem') for part in ('cert', 'key'))
        if os.path.exists(certificate):
            context.load_cert_chain(certificate, key)
        return context

    def protocols(self):
        if self.session:
            return [f'nbd.session.{self.session}']
        return [f'nbd.token.{self.options.token}'] if self.options.token else None

    async def keep_one_open(self):
        while not self.is_over:
            await self.here.wait()
            try:
                async with websockets.connect(self.url(), subprotocols=self.protocols(), max_size=None,
                                              compression=None, ping_interval=None, close_timeout=2,
                                              ssl=self.tls()) as socket:
                    await self.serve(socket)
            except websockets.InvalidStatusCode as refusal:
                say('refused', refusal.status_code)
                self.is_over = self.options.connections == 1
                await asyncio.sleep(0.5)
            except (OSError, websockets.WebSocketException) as error:
                say('failed', repr(error))
                await asyncio.sleep(0.2)

    async def serve(self, socket):
        reader, writer = await asyncio.open_unix_connection(self.options.nbd)
        self.sockets.add(socket)
        say('open')
        answers = asyncio.create_task(self.carry_answers(reader, socket))
        try:
            async for message in socket:
                writer.write(message)
                await writer.drain()
        except websockets.ConnectionClosed:
            pass
        finally:
            self.sockets.discard(socket)
            answers.cancel()
            writer.close()
        say('closed', socket.close_code, socket.close_reason)
        if socket.close_code in FINAL:
            self.is_over = True

    async def carry_answers(self, reader, socket):
        try:
            while data := await reader.read(128 * 1024):
                await socket.send(data)
            await asyncio.sleep(5)  # the gateway has ended it, and says how
        except websockets.ConnectionClosed:
            return
        await socket.close()

    async def obey(self):
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := (await lines.readline()).decode().strip():
            if line == 'back':
                self.here.set()
                continue
            self.here.clear()
            self.is_over = line in ('eject', 'end')
            if line == 'end':
                return
            for socket in list(self.sockets):
                if line == 'drop':
                    socket.transport.abort()
                else:
                    asyncio.create_task(socket.close(1001 if line == 'leave' else 1000))
            if self.is_over:
                await asyncio.sleep(1)
                return

    async def run(self):
        if self.options.login and not self.login():
            return
        keepers = [asyncio.create_task(self.keep_one_open()) for _ in range(self.options.connections)]
        obeying = asyncio.create_task(self.obey())
        await asyncio.wait([obeying, asyncio.gather(*keepers)], return_when=asyncio.FIRST_COMPLETED)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('url')
    parser.add_argument('nbd')
    parser.add_argument('--connections', type=int, default=1)
    parser.add_argument('--image', default='')
    parser.add_argument('--login', nargs='?', const='/', default='')
    parser.add_argument('--token', default='')
    parser.add_argument('--certificates', default='', help='a folder: over TLS, with ca-cert.pem and client-*.pem')
    asyncio.run(Peer(parser.parse_args()).run())


main()
