"""Two clients that write through one of our servers, while what is behind it is taken away and comes back."""

import random
import time

import nbd

SIZE, BLOCK = 16 << 20, 16 << 10
BLOCKS = SIZE // BLOCK


def make_image(path):
    with open(path, "wb") as image:
        image.truncate(SIZE)


def connect(front):
    for _ in range(500):
        try:
            client = nbd.NBD()
            client.connect_unix(front)
            return client
        except nbd.Error:
            time.sleep(0.02)
    raise SystemExit("nbdring does not serve")


def content(turn, n):
    return (turn * BLOCKS + n).to_bytes(8, "little") * (BLOCK // 8)


class Writers:
    def __init__(self, front, image):
        self.clients = [connect(front), connect(front)]
        self.image, self.stored, self.turn = image, [bytes(BLOCK)] * BLOCKS, 0

    def write(self, reader, meanwhile=lambda: None):
        """60 blocks through both, with meanwhile() while they are under way; none may fail. READER sees one of them."""
        self.turn += 1
        chosen = random.sample(range(BLOCKS), 60)
        data = {n: nbd.Buffer.from_bytearray(bytearray(content(self.turn, n))) for n in chosen}
        cookies = [[], []]
        for i, n in enumerate(chosen):
            cookies[i % 2].append(self.clients[i % 2].aio_pwrite(data[n], n * BLOCK))
        meanwhile()
        for client, mine in zip(self.clients, cookies):
            while client.aio_in_flight() > 0:
                client.poll(-1)
            for cookie in mine:
                client.aio_command_completed(cookie)
        for n in chosen:
            self.stored[n] = content(self.turn, n)
        n = random.choice(chosen)
        assert self.clients[reader].pread(BLOCK, n * BLOCK) == self.stored[n], f"read of block {n}"

    def flush(self, client, kill):
        """Through one of them; then every block that was acknowledged is in the image."""
        self.clients[client].flush()
        with open(self.image, "rb") as image:
            for n in range(BLOCKS):
                assert image.read(BLOCK) == self.stored[n], f"kill {kill}: block {n} is not what was acknowledged"

    def leave(self):
        for client in self.clients:
            client.shutdown()
