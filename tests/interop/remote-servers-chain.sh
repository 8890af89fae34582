#!/bin/bash
# Eight servers of ours, each with the one before as its remote, over Unix sockets and TCP, in clear and over TLS: what
# goes in at one end comes out at the other, holes, FUA and errors included.

source "$(dirname "$0")/remote-servers-lib.sh"
requires fio psktool certtool
source "$(dirname "$0")/lib-tls.sh"
make_psk
make_pki

truncate -s 16M "$work/image"
pids=()
at_exit+=('for pid in "${pids[@]}"; do end_process "$pid"; done')
hop=0

hop_is_up_or_gone() { [[ -s $work/hop$hop.ready ]] || has_ended "${pids[-1]}"; }
# add BACKEND UNIX|TCP SERVE-ARGS…: sets $next, where it can be reached
add() {
  local backend=$1 kind=$2
  shift 2
  hop=$((hop + 1))
  if [[ $kind == unix ]]; then
    "$NBDRING" serve "$backend" --unix "$work/hop$hop" "$@" 2>"$work/hop$hop.log" &
    pids+=("$!")
    wait_until 20 is_listening "$work/hop$hop" || fail "hop $hop: $(cat "$work/hop$hop.log")"
    next="nbd+unix:///?socket=$work/hop$hop"
  else
    "$NBDRING" serve "$backend" --tcp 127.0.0.1:0 "$@" >"$work/hop$hop.ready" 2>"$work/hop$hop.log" &
    pids+=("$!")
    wait_until 20 hop_is_up_or_gone
    next=$(grep -om1 '127.0.0.1:[0-9]*' "$work/hop$hop.ready") || fail "hop $hop: $(cat "$work/hop$hop.log")"
  fi
}

add "$work/image" unix
first=$next
add "$first" unix
add "$next" tcp --tls-psk "$keys/keys.psk"
add "nbds://alice@$next/?tls-psk-file=$keys/keys.psk" unix
add "$next" tcp --tls-certificates "$keys/server" --tls-verify-peer
add "nbds://$next/?tls-certificates=$keys/client" tcp
add "nbd://$next/" unix
add "$next" unix
uri=$next
expect_equal hops $hop 8

expect_told "$uri" 16777216 +flush +fua +trim +write-zeroes +multi-conn -read-only
exercise "$first"
verify
head -c 5000001 /dev/urandom >"$work/source"
truncate -s 16M "$work/source"
nbdcopy --flush "$work/source" "$uri"
cmp "$work/source" "$work/image" || fail "other bytes arrived"
nbdcopy "$uri" "$work/back"
cmp "$work/source" "$work/back" || fail "other bytes came back"
pass "bytes through eight servers"

nbdinfo --map "$first" >"$work/first.map"
nbdinfo --map "$uri" >"$work/last.map"
cmp "$work/first.map" "$work/last.map" || fail "other extents at the end of the chain"
expect_errno 'EINVAL pread 4096 16777216'
pass "extents and errors through eight servers"

# From the last to the first, so that none loses its remote while it lives.
for ((n = hop - 1; n >= 0; n--)); do
  kill -TERM "${pids[n]}"
  wait_until 20 has_ended "${pids[n]}" || fail "hop $((n + 1)) did not end"
  [[ ! -s $work/hop$((n + 1)).log ]] || fail "hop $((n + 1)) logged: $(cat "$work/hop$((n + 1)).log")"
done
pass "each ends, and none had anything to tell"
