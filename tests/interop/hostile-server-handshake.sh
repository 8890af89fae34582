#!/bin/bash
# Servers that break the handshake, against `nbdring info`: see hostile/bad_server_handshake.py.

source "$(dirname "$0")/lib.sh"

"$python" "$(dirname "$0")/hostile/bad_server_handshake.py" "$NBDRING" "$work" >"$work/cases" 2>&1 ||
  fail "$(grep -v '^  ok ' "$work/cases")"
pass "$(grep -c '^  ok ' "$work/cases") misbehaviours of a server in the handshake"
