#!/bin/bash
# Our websocket's codec and stream, held against libwslay and Python's websockets.

source "$(dirname "$0")/lib.sh"

oracle=$(dirname "$NBDRING")/tests/websocket_oracle
[[ -x $oracle ]] || skip "no $oracle: it is built where libwslay-dev is installed"
"$python" -c 'import websockets.connection' 2>/dev/null || skip "no python3-websockets"

"$oracle" wslay 1000
pass "libwslay hears and says the same"
"$python" "$(dirname "$0")/websocket/codec_peer.py" "$oracle" "$work"
