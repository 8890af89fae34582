#!/bin/bash
# TCP on IPv4 and IPv6, with a port that is asked for and one that the server chooses and prints.

source "$(dirname "$0")/lib.sh"
requires nbdinfo nbdcopy

head -c 8M /dev/urandom >"$work/source"
truncate -s 8M "$work/image"

serve_tcp() {
  rm -f "$work/printed" # what the last server printed is not an answer
  "$NBDRING" serve "$work/image" --tcp "$1" >"$work/printed" 2>"$serve_log" &
  serve_pid=$!
  wait_until 20 test -s "$work/printed" || fail "no URI printed for $1"
  uri=$(head -n 1 "$work/printed")
}

hosts=(127.0.0.1)
! grep -qE '^0{31}1 ' /proc/net/if_inet6 2>/dev/null || hosts+=('[::1]')
for host in "${hosts[@]}"; do
  serve_tcp "$host:0"
  [[ $uri == "nbd://$host:"* ]] || fail "printed '$uri'"
  nbdcopy --connections=4 --flush "$work/source" "$uri"
  cmp "$work/source" "$work/image"
  nbdcopy --connections=4 "$uri" "$work/back"
  cmp "$work/source" "$work/back"

  # A port in use: one line, which names it.
  port=${uri##*:}
  port=${port%/}
  expect_refused 1 "$port" "$NBDRING" serve memory:1M --tcp "$host:$port"
  stop_serve
  expect_quiet_log
  # ... and free again at once: clients that have just left do not block it.
  "$NBDRING" serve memory:1M --tcp "$host:$port" >"$serve_log" 2>&1 &
  serve_pid=$!
  info() { nbdinfo --size "nbd://$host:$port" 2>/dev/null; }
  wait_until 20 info >/dev/null || fail "the port is not free again"
  stop_serve
done

# Everybody may connect, nothing is encrypted: that is worth a warning.
serve_tcp 0.0.0.0:0
nbdinfo --size "nbd://127.0.0.1:$(grep -oE '[0-9]+$' <<<"${uri%/}")" >/dev/null
grep -q 'warning.*0\.0\.0\.0' "$serve_log" || fail "no warning of plain TCP on every address"
stop_serve
expect_refused 2 'HOST:PORT' "$NBDRING" serve memory:1M --tcp 127.0.0.1
expect_refused 2 'HOST:PORT' "$NBDRING" serve memory:1M --tcp 127.0.0.1:99999
pass "TCP on ${hosts[*]}"
