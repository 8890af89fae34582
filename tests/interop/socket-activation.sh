#!/bin/bash
# systemd passes the listening socket (LISTEN_FDS); the first client starts the server.

source "$(dirname "$0")/lib.sh"
requires systemd-socket-activate nbdinfo

image=$work/image
truncate -s 8M "$image"
for address in "$work/sock" 127.0.0.1:10907; do
  case $address in
    /*) uri="nbd+unix:///?socket=$address" ;;
    *) uri="nbd://$address/" ;;
  esac
  systemd-socket-activate -l "$address" "$NBDRING" serve "$image" >"$serve_log" 2>&1 &
  serve_pid=$!
  info() { nbdinfo --size "$uri" 2>/dev/null; }
  wait_until 20 info >"$work/size" || fail "no answer at $address"
  expect_equal "size at $address" "$(cat "$work/size")" 8388608
  expect_equal 'size again' "$(info)" 8388608
  [[ $(readlink "/proc/$serve_pid/exe") == "$NBDRING" ]] || fail "somebody else answers"
  stop_serve
done
# The socket's file belongs to systemd, not to us.
[[ -S $work/sock ]] || fail "the server removed a socket that it did not make"
pass "socket activation, Unix and TCP"
