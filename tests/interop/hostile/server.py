"""The server, from outside: its log, its threads, descriptors and memory."""

import os
import re
import sys
import time

PID, LOG = int(sys.argv[2]), sys.argv[3]


def log_lines():
    with open(LOG, encoding="utf-8", errors="surrogateescape", newline="\n") as log:
        return log.read().splitlines()


def status_value(name):
    with open(f"/proc/{PID}/status") as status:
        return int(re.search(rf"^{name}:\s+(\d+)", status.read(), re.M)[1])


def threads():
    """Names, without the kernel's workers for the ring: it keeps an idle one per thread that had one."""
    names = []
    for task in os.listdir(f"/proc/{PID}/task"):
        try:
            with open(f"/proc/{PID}/task/{task}/comm") as comm:
                names.append(comm.read().strip())
        except FileNotFoundError:
            pass
    return sorted(name for name in names if not name.startswith("iou-"))


def descriptors():
    return len(os.listdir(f"/proc/{PID}/fd"))


def wait_for(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Footprint:
    """Threads, descriptors and memory before a case; afterwards they must be the same."""

    # KiB. The allocator keeps about 100 KiB for each of 64 threads that ran at once; what is lost with each client
    # shows where ten thousand come and go.
    memory_tolerance = 12 << 10

    def __init__(self):
        self.threads, self.fds, self.rss = threads(), descriptors(), status_value("VmRSS")

    def check(self):
        assert wait_for(lambda: threads() == self.threads), f"threads {threads()} instead of {self.threads}"
        assert wait_for(lambda: descriptors() == self.fds), f"{descriptors()} descriptors instead of {self.fds}"
        grown = status_value("VmRSS") - self.rss
        assert grown <= self.memory_tolerance, f"memory grew by {grown} KiB"
