"""A server that is no websocket endpoint, or a bad one: bad_endpoint.py CASE. Prints its port."""

import base64
import hashlib
import socket
import sys
import threading
import time

GREETING = b"NBDMAGICIHAVEOPT\x00\x03"


def answer(status, *headers):
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def receive_head(peer):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = peer.recv(4096)
        if not piece:
            return head
        head += piece
    return head


def upgrade(head, *more):
    lines = head.decode().split("\r\n")
    key = next(line.split(": ")[1] for line in lines if line.startswith("Sec-WebSocket-Key"))
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    accept = base64.b64encode(digest).decode()
    return answer("101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
                  f"Sec-WebSocket-Accept: {accept}", *more)


def frame(opcode, payload, first=0x80, second=0):
    return bytes([first | opcode, second | len(payload)]) + payload


def drip(peer, data, seconds):
    for byte in data:
        peer.send(bytes([byte]))
        time.sleep(seconds)


SIMPLE = {
    "401": answer("401 Unauthorized", "WWW-Authenticate: Bearer", "Content-Length: 0"),
    "403": answer("403 Forbidden", "Content-Length: 0"),
    "404": answer("404 Not Found", "Content-Length: 0"),
    "redirect": answer("302 Found", "Location: wss://elsewhere/x"),
    "page": answer("200 OK", "Content-Length: 5") + b"hello",
    "old": answer("426 Upgrade Required", "Sec-WebSocket-Version: 8"),
    "later": answer("503 Service Unavailable", "Retry-After: 1"),
    "another-key": answer("101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
                          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    "control": answer("500 a\x1b[31mb", "Content-Length: 0"),
    "huge-head": b"HTTP/1.1 101 x\r\n" + b"X: " + b"y" * 100000,
    "bare-lf": b"HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\n\n",
    "nbd": GREETING,
    "gone": b"",
}

AFTER_UPGRADE = {
    "text": frame(1, GREETING),
    "masked": frame(2, b"\0\0\0\0" + GREETING, second=0x80)[:2] + b"\0\0\0\0" + GREETING,
    "reserved-bit": frame(2, GREETING, first=0xC0),
    "reserved-opcode": frame(3, GREETING),
    "long-ping": bytes([0x89, 126, 0, 126]) + bytes(126),
    "endless-length": bytes([0x82, 127]) + b"\xff" * 8,
    "close": frame(8, b"\x03\xf1over"),
    "no-nbd": frame(2, b"220 smtp.example ESMTP, at your service"),
}


def serve(case, peer):
    head = receive_head(peer)
    if case in SIMPLE:
        peer.sendall(SIMPLE[case])
    elif case in AFTER_UPGRADE:
        peer.sendall(upgrade(head) + AFTER_UPGRADE[case])
        time.sleep(30)
    elif case == "deflate":
        peer.sendall(upgrade(head, "Sec-WebSocket-Extensions: permessage-deflate"))
    elif case == "protocol":
        peer.sendall(upgrade(head, "Sec-WebSocket-Protocol: mqtt"))
    elif case == "silent":
        time.sleep(60)
    elif case == "slow-head":
        drip(peer, upgrade(head, "X: " + "y" * 4000), 0.05)
    elif case == "silent-behind":
        peer.sendall(upgrade(head))
        time.sleep(60)
    else:
        raise SystemExit(f"no such case: {case}")
    peer.close()


def serve_quietly(case, peer):
    try:
        serve(case, peer)
    except OSError:
        pass


with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_quietly, args=(sys.argv[1], connection), daemon=True).start()
