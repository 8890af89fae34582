#!/bin/bash
# Servers that refuse, that are none, or that break the protocol: one line each, the right exit status, soon.

source "$(dirname "$0")/ws-client-lib.sh"

# expect_told STATUS CASE TEXT [SECONDS]
expect_told() {
  local begin=$SECONDS most=${4:-5}
  start_bridge "$python" "$ws_client/bad_endpoint.py" "$2"
  expect_refused "$1" "$3" "$NBDRING" info "ws://127.0.0.1:$port/vm"
  ((SECONDS - begin <= most)) || fail "$2: it took $((SECONDS - begin)) s"
  stop_bridge
}

expect_told 6 401 "/vm: access denied by the server (HTTP 401 'Unauthorized'); it wants a token"
expect_told 6 403 "/vm: access denied by the server (HTTP 403 'Forbidden')"
expect_told 4 404 "/vm: the server has nothing at this path (HTTP 404 'Not Found')"
expect_told 5 redirect "the server names another place (HTTP 302 'Found'): 'wss://elsewhere/x'"
expect_told 5 page "this is no websocket endpoint (HTTP 200 'OK')"
expect_told 5 old "this is no websocket endpoint (HTTP 426 'Upgrade Required')"
expect_told 5 later "the server cannot serve now (HTTP 503 'Service Unavailable')"
pass "what a server refuses has its line"

expect_told 5 another-key "does not belong to our key"
expect_told 5 deflate "an extension that was not offered: 'permessage-deflate'"
expect_told 5 protocol "a subprotocol that was not offered: 'mqtt'"
expect_told 5 control "control character"
expect_told 5 huge-head "longer than 8192 bytes"
expect_told 5 bare-lf "ends with LF alone"
expect_told 5 nbd "does not answer in HTTP/1.1 (the head has a control character)"
expect_told 5 gone "the server closed the connection without an answer"
pass "what is no websocket is said to be none"

broken="/vm: the server broke the websocket's protocol: "
expect_told 5 text "$broken"'text: only binary is understood'
expect_told 5 masked "$broken"'a server'"'"'s frame with a mask'
expect_told 5 reserved-bit "$broken"'a reserved bit is set'
expect_told 5 reserved-opcode "$broken"'a reserved opcode'
expect_told 5 long-ping "$broken"'a control frame of more than 125 bytes'
expect_told 5 endless-length "$broken"'a length with its highest bit set'
expect_told 5 close "/vm: the server closed the websocket with code 1009: 'over'"
expect_told 5 no-nbd 'what answers is no NBD server'
pass "what breaks the websocket's protocol, or is no NBD, is left"

# The deadlines: 15 s for the way, 15 s for the NBD handshake.
expect_told 5 silent 'did not answer the request for a websocket in time' 18
expect_told 5 slow-head 'did not answer the request for a websocket in time' 18
expect_told 5 silent-behind 'did not finish the handshake within 15 s' 18
pass "who never finishes is left in time"

nbdkit_port_refused() {
  expect_refused 5 "cannot reach 127.0.0.1:1: connection refused" "$NBDRING" info ws://127.0.0.1:1/
  expect_refused 2 "ws:// has no TLS; write wss://" "$NBDRING" info --tls=require ws://127.0.0.1:1/
  expect_refused 2 "parameters for TLS are given" "$NBDRING" info "ws://127.0.0.1:1/?tls-hostname=x"
  expect_refused 2 "a token goes into a file" "$NBDRING" info ws://me@127.0.0.1:1/
  expect_refused 2 "No such file" "$NBDRING" info "ws://127.0.0.1:1/?token-file=/nbdring-none"
}
nbdkit_port_refused
pass "what cannot be meant is refused before anything is connected"
