#!/bin/bash
# A socket that a dead server left is replaced; one in use, and a file that is no socket, are left
# alone; the server removes its own at the end, mode 0600 meanwhile.

source "$(dirname "$0")/lib.sh"
requires nbdinfo

start_serve memory:1M
expect_equal mode "$(stat -c %a "$socket")" 600
expect_refused 3 "$socket" "$NBDRING" serve memory:1M --unix "$socket"
expect_equal 'the first server' "$(nbdinfo --size "$uri")" 1048576
stop_serve
[[ ! -e $socket ]] || fail "the socket is still there"

start_serve memory:2M
end_process "$serve_pid"
[[ -S $socket ]] || fail "a killed server cannot remove its socket"
"$NBDRING" serve memory:3M --unix "$socket" >"$serve_log" 2>&1 &
serve_pid=$!
info() { timeout 5 nbdinfo --size "$uri" 2>/dev/null; }
wait_until 20 info >"$work/size" || fail "a stale socket was not replaced"
expect_equal size "$(cat "$work/size")" 3145728
stop_serve

# A killed server's ring, and with it the listening socket, may outlive the process by a moment. Here:
# a process that listens and dies, and another that holds the socket for a second.
"$python" - "$socket" "$work/ready" <<'END' &
import os, socket, sys, time

listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
if os.fork() == 0:
    listener.listen()
    os._exit(0)
os.wait()
open(sys.argv[2], "w").close()
time.sleep(1)
END
wait_until 20 test -e "$work/ready" || fail "no listener"
"$NBDRING" serve memory:4M --unix "$socket" >"$serve_log" 2>&1 &
serve_pid=$!
wait_until 20 info >"$work/size" || fail "a dying server's socket was not replaced"
expect_equal size "$(cat "$work/size")" 4194304
stop_serve

echo precious >"$work/file"
expect_refused 1 "$work/file" "$NBDRING" serve memory:1M --unix "$work/file"
expect_equal 'the file' "$(cat "$work/file")" precious
expect_refused 1 "$work/no/such" "$NBDRING" serve memory:1M --unix "$work/no/such"
expect_refused 2 'nowhere to listen' "$NBDRING" serve memory:1M
pass "stale sockets are replaced, others left alone"
