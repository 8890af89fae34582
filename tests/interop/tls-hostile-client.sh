#!/bin/bash
# Clients that misuse STARTTLS: bytes in clear behind it, silence after it, half a TLS handshake.
# The server drops each with a reason, within its deadline, and goes on serving others.

source "$(dirname "$0")/lib.sh"
requires psktool nbdinfo
source "$(dirname "$0")/lib-tls.sh"
make_psk
start_serve memory:1M --tls-psk "$keys/keys.psk"

cat >"$work/client" <<'END'
import socket, struct, sys, time
server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
server.settimeout(20)
server.recv(18, socket.MSG_WAITALL)
option = lambda number: struct.pack('>QII', 0x49484156454F5054, number, 0)
start_tls = struct.pack('>I', 3) + option(5)
ack = struct.pack('>QIII', 0x3e889045565a9, 5, 1, 0)
case = sys.argv[2]
server.send(start_tls + (option(3) if case == 'injected' else b''))
assert server.recv(20, socket.MSG_WAITALL) == ack
if case == 'half':
    server.send(bytes([22, 3, 1, 2, 0]) + b'x' * 100)
begin = time.monotonic()
answer = b''
try:
    while more := server.recv(4096):
        answer += more
except ConnectionResetError:
    pass
assert b'EXPORT' not in answer and struct.pack('>Q', 0x3e889045565a9) not in answer, answer
print(round(time.monotonic() - begin))
END

# drop CASE LEAST MOST TEXT: dropped after so many seconds, with TEXT in the log.
drop() {
  local seconds
  seconds=$("$python" "$work/client" "$socket" "$1")
  ((seconds >= $2 && seconds <= $3)) || fail "$1: dropped after $seconds s"
  wait_until 5 grep -q -- "$4" "$serve_log" || fail "$1: '$4' is not in the log"
  : >"$serve_log"
  expect_equal 'another client' \
    "$(nbdinfo --size "nbds+unix://alice@/?socket=$socket&tls-psk-file=$keys/keys.psk")" 1048576
  pass "$1"
}

drop injected 0 2 'what answered is not TLS'
drop silent 9 13 'it did not finish within 10 s'
drop half 9 13 'it did not finish within 10 s'
stop_serve
