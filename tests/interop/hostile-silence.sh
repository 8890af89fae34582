#!/bin/bash
# Clients that fall silent in the middle of a message, or never read: see hostile/silence.py.

source "$(dirname "$0")/lib.sh"

truncate -s 64M "$work/image"
start_serve "$work/image" --timeout 2
"$python" "$(dirname "$0")/hostile/run.py" "$socket" "$serve_pid" "$serve_log" silence >"$work/cases" 2>&1 ||
  fail "$(cat "$work/cases")"
stop_serve
pass "$(grep -c '^  ok ' "$work/cases") misbehaviours, $(wc -l <"$serve_log") log lines"
