#!/bin/bash
# Large READs of a remote in the clear go from its socket to the client's by reference, whatever form
# its replies have; small ones, and those that come through a layer, are copied. A server that
# is killed in the middle of them again and again costs no byte.

source "$(dirname "$0")/ways-lib.sh"
requires ss strace
head -c 67108864 /dev/urandom >"$work/image"
wanted=$(sha "$work/image")
copy() { nbdcopy --connections=2 --requests=16 "$@" "$uri" - | sha256sum | cut -d ' ' -f 1; }

# splices COMMAND…: how many bytes the server has spliced from one pipe into another meanwhile, for
# nothing but this does it. $spliced
count_spliced() {
  local tracer
  strace -f -qq -yy -e trace=splice -e signal=none -o "$work/trace" -p "$serve_pid" 2>"$work/strace.log" &
  tracer=$!
  tracer_is_there() { [[ $(grep TracerPid "/proc/$serve_pid/status") != *$'\t0' ]] || has_ended "$tracer"; }
  wait_until 20 tracer_is_there || fail 'strace does not attach'
  ! has_ended "$tracer" || skip "no tracing here: $(head -n 1 "$work/strace.log")"
  "$@"
  kill -TERM "$tracer"
  wait "$tracer" || true
  spliced=$(awk '/splice\([0-9]+<pipe.*, [0-9]+<pipe/ && $NF > 0 { sum += $NF } END { print sum + 0 }' "$work/trace")
}
copied_rightly() { expect_equal "$1" "$(copy "${@:2}")" "$wanted"; }

start_on_port() {
  start_peer nbdkit -f -i 127.0.0.1 -p "$port" "$@"
  peer_listens() { [[ -n $(ss -Htln "sport = :$port") ]] || has_ended "$peer_pid"; }
  wait_until 20 peer_listens && ! has_ended "$peer_pid"
}
start_anywhere() {
  for port in $(shuf -i 20000-30000 -n 5); do
    start_on_port "$@" && return
    stop_peer
  done
  fail "nbdkit finds no port: $(cat "$work/peer.log")"
}

for form in structured simple; do
  [[ $form == simple ]] && arguments=(--no-sr) || arguments=()
  start_anywhere "${arguments[@]}" file "$work/image"
  start_serve "nbd://127.0.0.1:$port/"
  count_spliced copied_rightly "$form replies over TCP"
  # Nearly all: of a large READ that was read ahead in part, or has no room, the bytes are copied.
  ((spliced > 67108864 / 2)) || fail "$form replies: only $spliced bytes went by reference"
  count_spliced copied_rightly "$form replies, small requests" --request-size=16384
  expect_equal 'bytes by reference of small requests' "$spliced" 0
  stop_serve
  start_serve "nbd://127.0.0.1:$port/" --layer offset=0
  count_spliced copied_rightly "$form replies through a layer"
  expect_equal 'bytes by reference through a layer' "$spliced" 0
  stop_serve
  expect_quiet_log
  stop_peer
done
pass "over TCP, both forms of replies"

start_peer nbdkit -f -U "$work/peer" file "$work/image"
wait_until 20 is_listening "$work/peer" || fail 'nbdkit does not listen'
start_serve "nbd+unix:///?socket=$work/peer"
count_spliced copied_rightly 'over a Unix socket'
((spliced > 67108864 / 2)) || fail "a Unix socket: only $spliced bytes went by reference"
stop_serve
stop_peer
pass "over a Unix socket"

# Killed while its replies are on their way, ten times or as long as the copy lasts.
slowly=(--filter=rate file "$work/image" rate=400M)
start_anywhere "${slowly[@]}"
start_serve "nbd://127.0.0.1:$port/"
copy >"$work/sum" &
copier=$!
for _ in {1..10}; do
  sleep 0.$((RANDOM % 4))
  ! has_ended "$copier" || break
  stop_peer
  wait_until 20 start_on_port "${slowly[@]}" || fail 'nbdkit does not start again'
done
wait "$copier" || fail "nbdcopy failed: $(cat "$serve_log")"
expect_equal 'through a server that is killed' "$(cat "$work/sum")" "$wanted"
stop_serve
stop_peer
pass "a server that is killed in the middle costs no byte"
