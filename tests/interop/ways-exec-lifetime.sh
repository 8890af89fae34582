#!/bin/bash
# A server started by exec: is there once, however many clients we have, is started again when it
# has died, and goes when we go, however we go. Its socket can be reached by nobody else.

source "$(dirname "$0")/ways-lib.sh"
requires pgrep
make_source
export XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$XDG_RUNTIME_DIR"

servers() { pgrep -f "^nbdkit file $work/image" || true; }
has_none() { [[ -z $(servers) ]]; }
has_one() { [[ $(servers | wc -l) == 1 ]]; }
is_other_than() { has_one && [[ $(servers) != "$1" ]]; }
folders() { find "$XDG_RUNTIME_DIR" -mindepth 1 -maxdepth 1; }

start_serve "exec:nbdkit file $work/image"
nbdcopy --connections=4 "$uri" "$work/back"
cmp "$work/source" "$work/back"
has_one || fail "not one server: $(servers)"
expect_equal "mode of the private folder" "$(stat -c %a "$(folders)")" 700

# It is killed: reads go on.
first=$(servers)
kill -KILL "$first"
timeout 60 nbdcopy "$uri" "$work/back"
cmp "$work/source" "$work/back"
is_other_than "$first" || fail "no new server: $(servers)"
expect_equal "private folders" "$(folders | wc -l)" 1

stop_serve
has_none || fail "a server is left over: $(servers)"
expect_equal "what is left over" "$(folders)" ""

# A Ctrl-C in a terminal is for us alone: we have still to flush.
start_serve "exec:nbdkit file $work/image"
[[ $(ps -o sid= -p "$(servers)") != $(ps -o sid= -p "$serve_pid") ]] || fail "the server is in our session"
kill -KILL "$serve_pid"
wait "$serve_pid" 2>/dev/null || true
serve_pid=''
wait_until 10 has_none || fail "a server survives our SIGKILL: $(servers)"
pass "the lifetime of a server by socket activation"
