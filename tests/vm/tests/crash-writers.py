"""crash-writers.py DEVICE STOP [IMAGE]: two writers, each with blocks of its own, so that each block's last acknowledged
version is known; until the file STOP is there. Then DEVICE, and the IMAGE behind it, must have them all."""

import mmap, os, random, sys, threading, time

device, stop, *image = sys.argv[1:]
BLOCK, BLOCKS = 4096, 256
acknowledged = [0] * (2 * BLOCKS)
slowest = [0.0, 0.0]

def content(block, version):
    return (version * 65536 + block).to_bytes(8, "little") * (BLOCK // 8)

def write(number):
    disk = os.open(device, os.O_RDWR | os.O_DIRECT)
    buffer, version = mmap.mmap(-1, BLOCK), 0
    while not os.path.exists(stop):
        version += 1
        block = number * BLOCKS + random.randrange(BLOCKS)
        buffer[:] = content(block, version)
        begin = time.monotonic()
        if os.pwrite(disk, buffer, block * BLOCK) != BLOCK:
            os._exit(1)
        slowest[number] = max(slowest[number], time.monotonic() - begin)
        acknowledged[block] = version
        if random.randrange(200) == 0:
            os.fsync(disk)
    os.fsync(disk)
    os.close(disk)

threading.excepthook = lambda failure: (print(failure.exc_value, file=sys.stderr, flush=True), os._exit(1))
writers = [threading.Thread(target=write, args=(n,)) for n in range(2)]
for writer in writers:
    writer.start()
for writer in writers:
    writer.join()
for name, flags in [(device, os.O_DIRECT), *((path, 0) for path in image)]:
    disk, buffer = os.open(name, os.O_RDONLY | flags), mmap.mmap(-1, BLOCK)
    for block, version in enumerate(acknowledged):
        os.preadv(disk, [buffer], block * BLOCK)
        if version and buffer[:] != content(block, version):
            found = int.from_bytes(buffer[:8], "little")
            sys.exit(f"{name}: block {block} has {found % 65536}, version {found // 65536}, not version {version}")
    os.close(disk)
print(f"{sum(map(bool, acknowledged))} blocks are right; the slowest write took {max(slowest):.1f} s")
