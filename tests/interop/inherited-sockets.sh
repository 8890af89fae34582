#!/bin/bash
# --fd N: one end of a socketpair is one client, and the server ends with it; a listening socket is
# accepted from; anything else is refused.

source "$(dirname "$0")/lib.sh"
requires_libnbd

"$python" - "$NBDRING" "$work" <<'END'
import socket, subprocess, sys
import nbd

def serve(inherited):
    fd = inherited.fileno()
    return subprocess.Popen([sys.argv[1], "serve", "memory:1M", "--fd", str(fd)], pass_fds=[fd])

ours, theirs = socket.socketpair()
server = serve(theirs)
theirs.close()
h = nbd.NBD()
h.connect_socket(ours.detach())
h.pwrite(b"x" * 5000, 1000)
assert h.pread(5002, 999) == b"\0" + b"x" * 5000 + b"\0"
h.shutdown()
assert server.wait(20) == 0, "the server did not end well with its only client"

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
server = serve(listener)
for _ in range(3):
    h = nbd.NBD()
    h.connect_tcp("127.0.0.1", str(listener.getsockname()[1]))
    assert h.get_size() == 1 << 20
    h.shutdown()
server.terminate()
assert server.wait(20) == 0
END
expect_refused 2 '--fd: 0' "$NBDRING" serve memory:1M --fd 0
expect_refused 2 '--fd: 77' "$NBDRING" serve memory:1M --fd 77
pass "--fd: connected, listening, neither"
