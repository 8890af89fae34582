#!/bin/bash
# nbd+ext: a command's standard input and output are the connection.

source "$(dirname "$0")/ways-lib.sh"
requires socat
make_source

encoded() { "$python" -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1]))' "$1"; }
ext() { echo "nbd+ext:///?command=$(encoded "$1")"; }
# shellcheck disable=SC2009
children_of_command() { ps -eo pid=,args= | grep -F "$1" | grep -vF grep || true; }
no_children() { [[ -z $(children_of_command "$work/image") ]]; }

expect_way "$(ext "nbdkit -s --exit-with-parent file $work/image")"
wait_until 10 no_children || fail "left over: $(children_of_command "$work/image")"

start_peer nbdkit -f -U "$work/peer" file "$work/image"
wait_until 20 is_listening "$work/peer" || fail "nbdkit does not listen"
expect_way "$(ext "socat - UNIX:$work/peer")"
stop_peer

# The shell's, with all it can; the name is passed to the server.
cp "$work/source" "$work/image"
expect_reads "$(ext "IMAGE=$work/image; exec nbdkit -s file \$IMAGE 2>/dev/null")" "$work/source"
named=$(encoded "nbdkit -s --filter=exportname memory 1M exportname=first exportname-strict=true")
elsewhere="nbd+ext:///second?command=$named"
expect_refused 4 "second" "$NBDRING" info "$elsewhere"

expect_refused 5 "nosuch" "$NBDRING" info "$(ext "nbdkit -s nosuch")"
expect_refused 5 "exit status 3" "$NBDRING" info "$(ext "exit 3")"
expect_refused 5 "not found (exit status 127)" "$NBDRING" info "$(ext "nbdring-none")"
expect_refused 2 "'command'" "$NBDRING" info "nbd+ext:///"

# We are killed: whoever serves us goes as well.
start_serve "$(ext "nbdkit -s file $work/image")"
kill -KILL "$serve_pid"
wait "$serve_pid" 2>/dev/null || true
serve_pid=''
wait_until 10 no_children || fail "left over after SIGKILL: $(children_of_command "$work/image")"
pass "a command's standard input and output"
