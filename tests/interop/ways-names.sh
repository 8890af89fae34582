#!/bin/bash
# An export's name, however a URI can say it: nbdkit's info plugin serves the very name it was asked
# for. And what the parameters of a URI mean that nobody knows.

source "$(dirname "$0")/ways-lib.sh"
[[ -e $(nbdkit --dump-config | sed -n 's/^plugindir=//p')/nbdkit-info-plugin.so ]] || skip "no info plugin"

start_peer nbdkit -f -U "$work/peer" --filter=truncate info mode=exportname round-up=512
wait_until 20 is_listening "$work/peer" || fail "nbdkit does not listen: $(cat "$work/peer.log")"

# Requests are multiples of 512 bytes where a server says nothing else.
name_file() {
  printf %s "$1" >"$work/name"
  truncate -s 512 "$work/name"
}

# expect_name PATH NAME [QUERY]
expect_name() {
  name_file "$2"
  expect_reads "nbd+unix://$1?socket=$work/peer${3:-}" "$work/name"
  expect_quiet_log
}

expect_name /disk disk
expect_name //disk /disk
expect_name ///disk //disk
expect_name /a/b a/b
expect_name /a%2Fb a/b
expect_name /a%3Fb 'a?b'
expect_name '/a+b' 'a+b'
expect_name /a%20b 'a b'
expect_name /a%2Bb%25 'a+b%'
expect_name /%23x '#x'
expect_name "/$(printf 'x%.0s' {1..256})" "$(printf 'x%.0s' {1..256})"
expect_name /path name '&name=name'
expect_name /path 'a/b' ';name=a/b'
expect_name /path '?&=;' '&name=%3F%26%3D%3B'
expect_name /x x '&x-mine=1'

# Nobody knows it: said, and ignored; with --strict refused.
"$NBDRING" info "nbd+unix:///x?socket=$work/peer&colour=red" >"$work/info" 2>"$work/info.err"
grep -q "parameter 'colour'.*ignored" "$work/info.err" || fail "no warning: $(cat "$work/info.err")"
expect_refused 2 "'colour'" "$NBDRING" info --strict "nbd+unix:///x?socket=$work/peer&colour=red"
expect_refused 2 "given twice" "$NBDRING" info "nbd+unix:///x?socket=$work/peer&name=a&name=b"
expect_refused 2 "'http'" "$NBDRING" info http://host/x

# A bare name, from the environment's routes.
name_file disk
export NBDRING_ROUTES="other nbd://nbdring-nobody.invalid/;mine nbd+unix:///disk?socket=$work/peer"
expect_reads mine "$work/name"
pass "names and parameters"
