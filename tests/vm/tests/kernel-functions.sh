# For the kernel-*.sh tests: sourced, not run.

attached=()

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# is WHAT ACTUAL EXPECTED
is() {
  [[ $2 == "$3" ]] || fail "$1 is '$2', not '$3'"
  echo "ok: $1 is '$2'"
}

# refused EXIT_CODE REGEX COMMAND...: it fails so, and its one line says so.
refused() {
  local code=$1 regex=$2 status=0 output
  shift 2
  output=$("$@" 2>&1) || status=$?
  ((status == code)) || fail "'$*' ended with $status, not $code: $output"
  [[ $output =~ $regex ]] || fail "'$*' said '$output', not /$regex/"
  echo "ok: $output"
}

# until_true SECONDS COMMAND...
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.05
  done
}

attach() {
  device=$("$NBDRING" attach "$@")
  attached+=("$device")
  number=${device#/dev/nbd}
  [[ -b $device ]] || fail "attach printed '$device', which is no block device"
}

detach() {
  "$NBDRING" detach "$1"
}

queue() { sed 's/.*\[\(.*\)\].*/\1/' "/sys/block/${device#/dev/}/queue/$1"; }
sectors() { cat "/sys/block/${device#/dev/}/size"; }

# What a device leaves behind when it should leave nothing.
leftovers() {
  local left
  left=$(ls -d /sys/block/nbd* 2>/dev/null || true)
  left+=$(find /run/nbdring -mindepth 1 -name 'nbd*' ! -name '*.log' 2>/dev/null || true)
  left+=$(pgrep -a -x nbdring || true)
  left+=$(grep nbdring /proc/net/unix || true)
  echo "$left"
}

show_leftovers_on_failure() {
  local status=$?
  ((status != 0)) || return 0
  "$NBDRING" list || true
  cat /run/nbdring/*.log 2>/dev/null || true
}
trap show_leftovers_on_failure EXIT
