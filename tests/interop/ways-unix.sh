#!/bin/bash
# A Unix socket: a path, an abstract name, a socket that nobody listens at, one of another user.

source "$(dirname "$0")/ways-lib.sh"
make_source

start_peer nbdkit -f -U "$work/peer" file "$work/image"
wait_until 20 is_listening "$work/peer" || fail "nbdkit does not listen: $(cat "$work/peer.log")"
expect_way "nbd+unix:///?socket=$work/peer"
(cd "$work" && [[ $(size_told "nbd+unix:///?socket=peer") == "$size" ]]) || fail "no relative path"
expect_quiet_log
stop_peer
expect_refused 5 "cannot reach the socket $work/peer: connection refused" \
  "$NBDRING" info "nbd+unix:///?socket=$work/peer"
expect_refused 5 "cannot reach the socket $work/none: no such file" \
  "$NBDRING" info "nbd+unix:///?socket=$work/none"
expect_refused 2 "has no meaning with nbd+unix" "$NBDRING" info "nbd+unix://host/?socket=$work/peer"
expect_refused 2 "'socket'" "$NBDRING" info "nbd+unix:///"
expect_refused 2 "longer than 107 bytes" "$NBDRING" info "nbd+unix:///?socket=/$(printf 'x%.0s' {1..120})"

# nbdkit listens at paths only; systemd's helper hands it an abstract socket.
if [[ -n $(type -P socat) ]]; then
  name=nbdring-ways-$$
  start_peer socat "ABSTRACT-LISTEN:$name,fork" "EXEC:nbdkit -s file $work/image"
  wait_until 20 grep -q "@$name" /proc/net/unix || fail "socat does not listen"
  expect_way "nbd+unix:///?socket=%00$name"
  stop_peer
  expect_refused 5 "the abstract socket @$name: connection refused" \
    "$NBDRING" info "nbd+unix:///?socket=%00$name"
fi

# A server of somebody else's at a place that we were told: reached, and named in the log.
if ((EUID == 0)) && [[ -n $(type -P setpriv) ]]; then
  mkdir "$work/theirs"
  chown nobody "$work/theirs"
  chmod a+x "$work"
  start_peer setpriv --reuid=nobody --clear-groups nbdkit -f -U "$work/theirs/peer" memory 1M
  wait_until 20 is_listening "$work/theirs/peer" || fail "no server of nobody's: $(cat "$work/peer.log")"
  "$NBDRING" info "nbd+unix:///?socket=$work/theirs/peer" >"$work/info" 2>"$work/info.err"
  grep -q "runs as user $(id -u nobody), which is neither you nor root" "$work/info.err" ||
    fail "no warning of another user's socket: $(cat "$work/info.err")"
fi
pass "Unix sockets"
