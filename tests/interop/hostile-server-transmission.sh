#!/bin/bash
# Servers that break the transmission phase, behind `nbdring serve`: see
# hostile/bad_server_transmission.py.

source "$(dirname "$0")/lib.sh"
requires_libnbd

"$python" "$(dirname "$0")/hostile/bad_server_transmission.py" "$NBDRING" "$work" >"$work/cases" 2>&1 ||
  fail "$(grep -v '^  ok ' "$work/cases")"
pass "$(grep -c '^  ok ' "$work/cases") misbehaviours of a server in transmission"
