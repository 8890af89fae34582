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

# recorded FIELD: in the record of $device.
recorded() {
  python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "/run/nbdring/nbd$number.json" "$1"
}

queue() { sed 's/.*\[\(.*\)\].*/\1/' "/sys/block/${device#/dev/}/queue/$1"; }
sectors() { cat "/sys/block/${device#/dev/}/size"; }

# Asks the controller for a family that is there, as every program does that uses generic netlink: 4 s for the answer,
# the rest for Python, which starts slowly on a busy host.
generic_netlink_answers() {
  timeout 30 python3 - <<'END'
import socket, struct
name = b"nlctrl\0"
attribute = struct.pack("=HH", 4 + len(name), 2) + name.ljust(8, b"\0")
body = struct.pack("=BBH", 3, 1, 0) + attribute
request = struct.pack("=IHHII", 16 + len(body), 16, 1, 1, 0) + body
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
netlink.settimeout(4)
netlink.send(request)
answer = netlink.recv(65536)
assert struct.unpack_from("=H", answer, 4)[0] == 16, "an error instead of a family"
END
}

# What a device leaves behind when it should leave nothing.
leftovers() {
  local left
  left=$(ls -d /sys/block/nbd* 2>/dev/null || true)
  left+=$(find /run/nbdring -mindepth 1 -name 'nbd*' ! -name '*.log' 2>/dev/null || true)
  # A keeper ends a moment after its engine.
  until_true 5 bash -c '! pgrep -x nbdring-keeper >/dev/null' || true
  left+=$(pgrep -a '^nbdring' || true)
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
