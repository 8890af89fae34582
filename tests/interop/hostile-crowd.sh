#!/bin/bash
# Ten thousand clients in a row, two hundred at once: see hostile/crowd.py.

source "$(dirname "$0")/lib.sh"

truncate -s 64M "$work/image"
start_serve "$work/image" --max-clients 64
"$python" "$(dirname "$0")/hostile/run.py" "$socket" "$serve_pid" "$serve_log" crowd >"$work/cases" 2>&1 ||
  fail "$(cat "$work/cases")"
stop_serve
pass "$(grep -c '^  ok ' "$work/cases") misbehaviours, $(wc -l <"$serve_log") log lines"
