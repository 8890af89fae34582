#!/bin/bash
# Does tests/vm/run keep what it promises? Takes a minute and prints one line per promise. Options go to tests/vm/run.

set -euo pipefail
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
options=("$@")
output=$(mktemp)
trap 'rm -f "$output"' EXIT
failures=0

machine() {
  status=0
  "$folder/run" "${options[@]}" "$folder/selftest/$1" "${@:2}" >"$output" 2>&1 || status=$?
}

# promise TEXT COMMAND…: the command's success is the promise kept.
promise() {
  local text=$1
  shift
  if "$@"; then
    echo "ok      $text"
  else
    echo "FAILED  $text ($*)"
    sed 's/^/        | /' "$output"
    failures=$((failures + 1))
  fi
}

says() { grep -qF -- "$1" "$output"; }
# seconds_between FIRST SECOND LEAST: by this machine's clock.
seconds_between() {
  awk -v first="$1" -v second="$2" -v least="$3" 'index($0, first) { a = $1 } index($0, second) { b = $1 }
    END { exit !(a && b && b - a >= least) }' "$output"
}
nothing_left() {
  ! pgrep -f "nbdring-vm.*${1}" >/dev/null && ! compgen -G "$1/*" >/dev/null
}

check_output_and_status() {
  status=0
  # Each line with the time at which it came.
  { "$folder/run" "${options[@]}" "$folder/selftest/status-and-output.sh" 7 "two  'words" 2>&1 || echo "status $?"; } |
    while IFS= read -r line; do echo "$EPOCHREALTIME $line"; done >"$output"
  promise "the script's exit status is passed on" says "status 7"
  promise "arguments arrive as they are" says "first of 2: two  'words"
  promise "output comes while the script runs" seconds_between "first of" "second" 1
  # A clock that runs too fast would end scripts before their time limit.
  promise "its three seconds are three seconds" seconds_between "first of" "second" 2
}

check_failures() {
  machine time-limit.sh
  promise "a script that does not end is ended" test "$status" -eq 124
  promise "what it printed is not lost" says "before the wait"
  promise "the message says which limit" says "time limit of 3 s"
  promise "the processes are shown" says "sleep 1000"
  machine kernel-error.sh
  promise "an error in the kernel's log is a failure" test "$status" -eq 125
  promise "the line is shown" says "I/O error, dev nbd7, sector 8"
  machine kernel-error-allowed.sh
  promise "an error that was asked for is none" test "$status" -eq 0
  machine panic.sh
  promise "a panic is a failure" test "$status" -eq 125
  promise "the end of the kernel's log is shown" says "sysrq: Trigger a crash"
}

check_machine() {
  machine machine.sh
  promise "driver, udev, scratch disk, cgroups, memory and processors as asked" test "$status" -eq 0
  promise "nothing is written to the host" test ! -e "$folder/selftest/machine.sh.written-in-the-machine"
}

check_companion() {
  machine companion.sh
  promise "a companion on the host talks with the script" says "companion: connect please: from the machine"
  promise "it reaches the machine's port" says "over the port: from the host"
}

check_systemd() {
  machine systemd.sh
  promise "systemd is process 1, with our package; the machine reboots, and powers off" test "$status" -eq 0
  promise "each boot is set up, and the script called in it" says "boot 3 is up"
}

check_cleaning() {
  local temporary pid
  temporary=$(mktemp -d)
  TMPDIR=$temporary "$folder/run" "${options[@]}" "$folder/selftest/time-limit.sh" >"$output" 2>&1 &
  pid=$!
  until grep -q "before the wait" "$output" || ! kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
  kill -TERM "$pid"
  wait "$pid" || true
  promise "a run that is interrupted leaves no process and no file" nothing_left "$temporary"
  rm -rf "$temporary"
}

check_output_and_status
check_failures
check_machine
check_companion
check_systemd
check_cleaning
exit "$((failures > 0))"
