#!/bin/bash
# A slow remote server is asked for everything at once; one that is stopped for ten seconds costs
# nothing but the time.

source "$(dirname "$0")/lib.sh"
requires nbdkit
requires_libnbd

remote=$work/remote
start_remote() {
  rm -f "$remote"
  nbdkit -f -t 64 -U "$remote" "$@" &
  remote_pid=$!
  disown "$remote_pid" # bash need not tell that it was killed
  at_exit+=("end_process $remote_pid")
  wait_until 10 is_listening "$remote" || fail "nbdkit does not listen"
}

start_remote --filter=delay memory 64M rdelay=100ms
start_serve "nbd+unix:///?socket=$remote"
"$python" - "$socket" <<'END'
import sys, time
import nbd

h = nbd.NBD()
h.connect_unix(sys.argv[1])
h.pread(4096, 0)
begin = time.monotonic()
for n in range(64):
    h.aio_pread(nbd.Buffer(4096), n * 4096)
while h.aio_in_flight() > 0:
    h.poll(-1)
took = time.monotonic() - begin
assert took < 0.5, f"64 reads of 100 ms each took {took:.2f} s"
print(f"64 reads of 100 ms each: {took:.2f} s")
END
stop_serve
end_process "$remote_pid"

start_remote memory 64M
start_serve "nbd+unix:///?socket=$remote"
"$python" - "$socket" "$remote_pid" <<'END'
import os, signal, sys, time
import nbd

h = nbd.NBD()
h.connect_unix(sys.argv[1])
h.pwrite(b"a" * 4096, 0)
os.kill(int(sys.argv[2]), signal.SIGSTOP)
begin = time.monotonic()
cookie = h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(b"b" * 4096)), 0)
while time.monotonic() - begin < 10:
    h.poll(100)
os.kill(int(sys.argv[2]), signal.SIGCONT)
while not h.aio_command_completed(cookie):
    h.poll(-1)
assert h.pread(4096, 0) == b"b" * 4096
h.flush()
END
stop_serve
expect_quiet_log
pass "a slow server is asked in parallel, a stopped one is waited for"
