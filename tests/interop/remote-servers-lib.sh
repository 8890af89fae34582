# For remote-servers-*.sh: `nbdring serve` forwards an export of another program's server, and what
# comes and goes through it is compared with what a client of that server's own gets. Sourced.

source "$(dirname "${BASH_SOURCE[0]}")/ways-lib.sh"
requires nbdkit nbdcopy
requires_libnbd

peer=$work/peer
remote="nbd+unix:///?socket=$peer"

# start_nbdkit ARGS…: at $remote
start_nbdkit() {
  rm -f "$peer"
  start_peer nbdkit -f -U "$peer" "$@"
  wait_for_peer "nbdkit $*"
}

peer_is_up_or_gone() { is_listening "$peer" || has_ended "$peer_pid"; }
wait_for_peer() {
  wait_until 20 peer_is_up_or_gone || fail "$1: no socket after 20 s"
  is_listening "$peer" || fail "$1 does not listen: $(cat "$work/peer.log")"
}

# expect_told URI SIZE [+FLAG|-FLAG]…: by `nbdring info`
expect_told() {
  expect_equal "the size of $1" "$(size_told "$1")" "$2"
  "$python" - "$work/info.json" "${@:3}" <<'END'
import json, sys
export = json.load(open(sys.argv[1]))["exports"][0]
flags = set(export["flags"]) | ({"read-only"} if export["read_only"] else set())
wrong = [flag for flag in sys.argv[2:] if (flag[0] == "+") != (flag[1:] in flags)]
if wrong:
    sys.exit(f"FAILED: info tells {sorted(flags)}, not {wrong}")
END
}

# exercise [URI]: requests of all kinds and sizes through $uri, by two clients in turn, against a
# model; then every byte is read through $uri and from the server itself (URI, by default $remote).
exercise() {
  "$python" - "$uri" "${1:-$remote}" <<'END'
import random, sys
import nbd

MIB = 1 << 20
random.seed(20)
clients = []
for _ in range(2):
    client = nbd.NBD()
    client.connect_uri(sys.argv[1])
    clients.append(client)
size = clients[0].get_size()
unit = clients[0].get_block_size(nbd.SIZE_MINIMUM) or 1

def contents(uri):
    h = nbd.NBD()
    h.connect_uri(uri)
    return b"".join(h.pread(min(MIB, size - at), at) for at in range(0, size, MIB))

model = bytearray(contents(sys.argv[2]))

def range_of(longest):
    length = min(random.choice([1, 2, 9, 100, 1000]) * unit, longest // unit * unit)
    return random.randrange((size - length) // unit + 1) * unit, length

for turn in range(120):
    h = clients[turn % 2]
    kind = random.choice(["write", "write", "fua", "zero", "trim", "read", "read", "flush"])
    at, length = range_of(MIB)
    if kind in ("write", "fua"):
        data = random.randbytes(length)
        h.pwrite(data, at, nbd.CMD_FLAG_FUA if kind == "fua" else 0)
        model[at:at + length] = data
    elif kind == "zero":
        h.zero(length, at, random.choice([0, nbd.CMD_FLAG_NO_HOLE]))
        model[at:at + length] = bytes(length)
    elif kind == "trim":
        h.trim(length, at)
        model[at:at + length] = h.pread(length, at)  # anything at all
    elif kind == "flush":
        h.flush()
    elif h.pread(length, at) != model[at:at + length]:
        sys.exit(f"FAILED: request {turn}: other bytes at {at}, {length} long")
for h in clients:
    h.flush()
for uri in sys.argv[1:]:
    if contents(uri) != model:
        sys.exit(f"FAILED: in the end {uri} has other bytes")
END
}

# verify: fio writes through $uri and reads back what it wrote.
verify() {
  fio --name=verify --ioengine=nbd --uri="$uri" --rw=randwrite --bsrange=4k-256k --size=4m \
    --iodepth=16 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --output="$work/fio.log" >/dev/null ||
    fail "fio: $(tail -n 20 "$work/fio.log")"
}

# forward: serves $remote, exercises, verifies, ends; then nothing may have been logged.
forward() {
  start_serve "$remote"
  exercise
  verify
  stop_serve
  expect_quiet_log
}

# expect_errno "NAME METHOD LENGTH OFFSET"…: what one client of $uri gets
expect_errno() {
  "$python" - "$uri" "$@" <<'END'
import errno, sys
import nbd
h = nbd.NBD()
h.connect_uri(sys.argv[1])
h.set_strict_mode(0)  # the server is to refuse, not libnbd
for wanted, method, length, offset in map(str.split, sys.argv[2:]):
    what = bytes(int(length)) if method == "pwrite" else int(length)
    got = "success"
    try:
        getattr(h, method)(what, int(offset))
    except nbd.Error as e:
        got = errno.errorcode[e.errnum]
    if got != wanted:
        sys.exit(f"FAILED: {method} of {length} at {offset}: {got} instead of {wanted}")
END
}
