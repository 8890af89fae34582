# For ways-*.sh: a remote export that holds $work/source is reached by a URI. `nbdring info` must
# tell its size, and every byte must come and go through `nbdring serve URI`. Sourced.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
requires nbdkit nbdcopy

size=$((8 * 1024 * 1024 + 512)) # no multiple of anything that somebody might take for granted
peer_pid=''
at_exit+=('[[ -z $peer_pid ]] || end_process "$peer_pid"')

make_source() {
  head -c "$size" /dev/urandom >"$work/source"
  cp "$work/source" "$work/image"
}

# start_peer COMMAND…: a server in the background, its output in $work/peer.log.
start_peer() {
  "$@" >"$work/peer.log" 2>&1 &
  peer_pid=$!
}

stop_peer() {
  end_process "$peer_pid"
  peer_pid=''
}

size_told() {
  "$NBDRING" info --json "$1" >"$work/info.json" || fail "info $1"
  "$python" -c 'import json, sys; print(json.load(sys.stdin)["exports"][0]["size"])' <"$work/info.json"
}

# expect_reads URI FILE: `info` tells FILE's size, and serve gives its bytes.
expect_reads() {
  expect_equal "the size of $1" "$(size_told "$1")" "$(stat -c %s "$2")"
  start_serve "$1"
  rm -f "$work/back"
  nbdcopy "$uri" "$work/back"
  cmp "$2" "$work/back" || fail "other bytes come from $1"
  stop_serve
}

# expect_writes URI: new bytes go through serve into $work/image, and come back.
expect_writes() {
  head -c "$size" /dev/urandom >"$work/source"
  start_serve "$1"
  nbdcopy --flush "$work/source" "$uri"
  stop_serve
  cmp "$work/source" "$work/image" || fail "other bytes arrived by $1"
}

# expect_way URI: both, on an export that is $work/image.
expect_way() {
  expect_reads "$1" "$work/image"
  expect_writes "$1"
  expect_reads "$1" "$work/source"
}
