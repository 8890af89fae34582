#!/bin/bash
# What is on the wire is recorded and searched: neither the data nor the export's name is readable,
# for each server and for our own client and server.

source "$(dirname "$0")/lib.sh"
requires psktool socat nbdcopy nbdkit
source "$(dirname "$0")/lib-tls.sh"
make_psk

secret='the-name-of-the-export'
mark='SEARCH-FOR-THIS-TEXT-IN-WHAT-WAS-RECORDED'
for ((i = 0; i < 20000; i++)); do echo "$mark $i"; done >"$work/data"
truncate -s 1M "$work/data"

# record NAME SOCKET: a socket $work/NAME.sock whose traffic, both ways, is kept in $work/NAME.*
record() {
  rm -f "$work/$1.sock"
  socat -r "$work/$1.sent" -R "$work/$1.answered" \
    "UNIX-LISTEN:$work/$1.sock,fork" "UNIX-CONNECT:$2" 2>/dev/null &
  at_exit+=("kill $! 2>/dev/null")
  wait_until 10 test -S "$work/$1.sock" || fail "socat does not listen"
}

# expect_unreadable NAME MINIMUM: so many bytes were recorded at least, and nothing of ours is in them.
expect_unreadable() {
  cat "$work/$1.sent" "$work/$1.answered" >"$work/$1.all"
  (($(stat -c %s "$work/$1.all") > $2)) || fail "$1: too little was recorded"
  for text in "$mark" "$secret"; do
    if grep -qaF -- "$text" "$work/$1.all"; then fail "$1: '$text' was sent in clear"; fi
  done
}

start_serve "$work/data" --tls-psk "$keys/keys.psk" -n "$secret"
psk="tls-psk-file=$keys/keys.psk"
record ours "$socket"
for name in '' "$secret"; do
  nbdcopy "nbds+unix://alice@/$name?socket=$work/ours.sock&$psk" "$work/copy"
  cmp "$work/data" "$work/copy"
  nbdcopy "$work/data" "nbds+unix://alice@/$name?socket=$work/ours.sock&$psk"
done
expect_unreadable ours 2000000

# The recording works: the same in clear is found.
stop_serve
start_serve "$work/data" -n "$secret"
record clear "$socket"
nbdcopy "nbd+unix:///$secret?socket=$work/clear.sock" "$work/copy"
grep -qaF "$mark" "$work/clear.answered" || fail "the recording has no data in it"
grep -qaF "$secret" "$work/clear.sent" || fail "the recording has no name in it"
stop_serve
pass "serve: neither data nor name in clear"

nbdkit -U "$work/nbdkit.sock" -P "$work/pid" --tls=require --tls-psk="$keys/keys.psk" \
  file "$work/data"
wait_until 10 test -s "$work/pid" || fail "nbdkit does not start"
at_exit+=("kill $(cat "$work/pid")")
record theirs "$work/nbdkit.sock"
remote="nbds+unix://alice@/$secret?socket=$work/theirs.sock&$psk"
"$NBDRING" info "$remote" >"$work/info"
grep -qi 'TLS' "$work/info" || fail "info says nothing of TLS: $(cat "$work/info")"
start_serve "$remote"
nbdcopy "$uri" "$work/copy"
cmp "$work/data" "$work/copy"
nbdcopy "$work/data" "$uri"
stop_serve
expect_unreadable theirs 1000000
pass "the remote backend: neither data nor name in clear"
