#!/bin/bash
# Clients that break the transmission phase, or leave in the middle of anything: see hostile/transmission.py.

source "$(dirname "$0")/lib.sh"

truncate -s 64M "$work/image"
start_serve "$work/image"
"$python" "$(dirname "$0")/hostile/run.py" "$socket" "$serve_pid" "$serve_log" transmission >"$work/cases" 2>&1 ||
  fail "$(cat "$work/cases")"
stop_serve
pass "$(grep -c '^  ok ' "$work/cases") misbehaviours, $(wc -l <"$serve_log") log lines"
