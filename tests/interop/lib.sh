# For the scripts in here: each starts `nbdring serve`, lets another program talk to it, and looks
# at what is left. Sourced as `source "$(dirname "$0")/lib.sh"`. The program is $NBDRING, by default
# build/nbdring. Exit status 77 means skipped. Nothing outlives a script: neither process nor file.

set -Eeuo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
NBDRING=$(realpath -m "${NBDRING:-$checkout/build/nbdring}")
python=/usr/bin/python3 # Debian's: it has libnbd's module
export PYTHONDONTWRITEBYTECODE=1
[[ -x $NBDRING ]] || { echo "$NBDRING does not exist: build it, or say NBDRING=PATH" >&2; exit 1; }

# A Unix socket's path has at most 107 bytes, and O_DIRECT and holes need a real file system.
work=$(mktemp -d /var/tmp/nbdring-interop.XXXXXX)
serve_log=$work/serve.log
serve_pid=''
at_exit=()

pass() { echo "ok: $*"; }

skip() {
  echo "skipped: $*"
  exit 77
}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# The server's log stands beside a failure: that is where the reason is.
report_failure() {
  echo "${BASH_SOURCE[-1]##*/}: failed at line $1: ${2%%$'\n'*}" >&2
}

cleanup() {
  local status=$? command
  trap - EXIT ERR
  if ((status != 0 && status != 77)) && [[ -s $serve_log ]]; then
    echo "--- the server's log" >&2
    tail -n 30 "$serve_log" >&2
  fi
  for command in "${at_exit[@]}"; do eval "$command" || true; done
  [[ -z $serve_pid ]] || end_process "$serve_pid"
  rm -rf "$work"
  exit "$status"
}

trap 'report_failure "$LINENO" "$BASH_COMMAND"' ERR
trap cleanup EXIT
trap 'exit 130' INT TERM

end_process() {
  kill -KILL "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

requires() {
  local program
  for program in "$@"; do
    [[ -n $(type -P "$program") ]] || skip "$program is not installed"
  done
}

requires_libnbd() {
  "$python" -c 'import nbd' 2>/dev/null || skip "python3-libnbd is not installed"
}

# ---- the server

# wait_until SECONDS COMMAND…: polls; false when it never became true.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.02
  done
}

is_running() { kill -0 "$1" 2>/dev/null; }
# The file is there a moment before the socket listens; the kernel tells (flag __SO_ACCEPTCON).
is_listening() { grep -qE "^[0-9a-f]+: [0-9A-F]+ [0-9]+ 00010000 .* $1\$" /proc/net/unix; }
is_up_or_gone() { is_listening "$socket" || ! is_running "$serve_pid"; }

# Starts `nbdring serve ARGS…` on a fresh Unix socket: sets socket, uri, serve_pid, serve_log.
start_serve() {
  socket=$work/sock
  uri="nbd+unix:///?socket=$socket"
  rm -f "$socket"
  "$NBDRING" serve "$@" --unix "$socket" >"$serve_log" 2>&1 &
  serve_pid=$!
  wait_until 20 is_up_or_gone || fail "serve $*: no socket after 20 s"
  is_running "$serve_pid" || fail "serve $*: ended at once: $(cat "$serve_log")"
}

# Asks the server to end, and expects that it ends well.
stop_serve() {
  local status=0
  kill -TERM "$serve_pid"
  wait_until 20 has_ended "$serve_pid" || fail "the server did not end within 20 s of SIGTERM"
  wait "$serve_pid" || status=$?
  serve_pid=''
  ((status == 0)) || fail "the server ended with status $status"
}

has_ended() { [[ ! -e /proc/$1 || $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) == Z* ]]; }

expect_quiet_log() {
  [[ ! -s $serve_log ]] || fail "the server logged: $(cat "$serve_log")"
}

# ---- backends

# start_backend writeback|none|memory SIZE: serves a new, empty export. $image is its file, if any.
start_backend() {
  image=''
  case $1 in
    memory) start_serve "memory:$2" ;;
    *)
      image=$work/image
      rm -f "$image"
      truncate -s "$2" "$image"
      start_serve "file:$image?cache=$1"
      ;;
  esac
}

# on_each_backend SIZE FUNCTION: both cache modes of `file`, and `memory`. $backend names the one.
on_each_backend() {
  for backend in writeback none memory; do
    start_backend "$backend" "$1"
    "$2"
    stop_serve
    expect_quiet_log
  done
}

# ---- looking

sha() { sha256sum "$1" | cut -d ' ' -f 1; }
bytes_allocated() { echo $(($(stat -c '%b * %B' "$1"))); }

# expect_equal WHAT LEFT RIGHT
expect_equal() { [[ $2 == "$3" ]] || fail "$1: '$2' instead of '$3'"; }

# expect_refused STATUS TEXT COMMAND…: ends with that status and one line on standard error that has
# TEXT in it.
expect_refused() {
  local wanted=$1 text=$2 status=0
  shift 2
  timeout 20 "$@" >"$work/refused.out" 2>"$work/refused.err" </dev/null || status=$?
  ((status == wanted)) || fail "status $status instead of $wanted from: $* ($(cat "$work/refused.err"))"
  (($(wc -l <"$work/refused.err") == 1)) || fail "not one line: $(cat "$work/refused.err")"
  grep -qF -- "$text" "$work/refused.err" || fail "'$text' is missing in: $(cat "$work/refused.err")"
}
