#!/bin/bash
# token-file: shown once, its successor is in the file before the connection is used, and further
# connections of the same session need none.

source "$(dirname "$0")/ws-client-lib.sh"
make_source
start_nbdkit file "$work/image"
echo first:secret >"$work/server-tokens"
start_bridge "$python" "$ws_client/bridge.py" "$nbd_socket" --tokens "$work/server-tokens"
remote="ws://127.0.0.1:$port/"

expect_refused 6 'HTTP 401' "$NBDRING" info "$remote"
echo other:secret >"$work/token"
expect_refused 6 "mode 0644" "$NBDRING" info "$remote?token-file=$work/token"
chmod 600 "$work/token"
expect_refused 6 "access denied by the server (HTTP 403 'Forbidden')" \
  "$NBDRING" info "$remote?token-file=$work/token"
expect_equal "the refused token" "$(cat "$work/token")" other:secret
pass "no token, a token that others can read, a wrong one"

expect_same_tokens() {
  expect_equal "the client's token" "$(cat "$work/token")" "$(cat "$work/server-tokens")"
  expect_equal "the token's mode" "$(stat -c %a "$work/token")" 600
  [[ $(find "$work" -maxdepth 1 -name 'token.*') == '' ]] || fail "a file is left behind"
}
echo first:secret >"$work/token"
for _ in 1 2 3; do
  before=$(cat "$work/token")
  "$NBDRING" info "$remote?token-file=$work/token" >/dev/null
  [[ $(cat "$work/token") != "$before" ]] || fail "no successor"
  expect_same_tokens
done
pass "each use leaves the next one in the file"

# A relative name is one of the folder that serve was started in; the connections of one session use the token once.
(cd "$work" && expect_reads "$remote?token-file=token" "$work/image")
expect_same_tokens
pass "the connections of a session"

# A server that was started again knows no session: the token of the file is shown.
start_serve "$remote?token-file=$work/token"
nbdcopy "$uri" "$work/back"
before=$(cat "$work/token")
stop_bridge
rm -f "$work/back"
start_bridge "$python" "$ws_client/bridge.py" "$nbd_socket" --tokens "$work/server-tokens" --port "$port"
nbdcopy "$uri" "$work/back"
cmp "$work/image" "$work/back"
[[ $(cat "$work/token") != "$before" ]] || fail "the token was not used"
expect_same_tokens
stop_serve
pass "a server that has forgotten the session"
