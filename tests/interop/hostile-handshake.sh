#!/bin/bash
# Clients that break the handshake: see hostile/handshake.py.

source "$(dirname "$0")/lib.sh"

truncate -s 64M "$work/image"
start_serve "$work/image"
"$python" "$(dirname "$0")/hostile/run.py" "$socket" "$serve_pid" "$serve_log" handshake >"$work/cases" 2>&1 ||
  fail "$(cat "$work/cases")"
stop_serve
pass "$(grep -c '^  ok ' "$work/cases") misbehaviours, $(wc -l <"$serve_log") log lines"
