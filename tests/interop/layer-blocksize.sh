#!/bin/bash
# blocksize: the constraints that nbdkit's blocksize-policy shows, and requests of parts of blocks
# over files that take only whole ones.

source "$(dirname "$0")/lib.sh"
requires nbdkit nbdcopy nbdinfo qemu-io
requires_libnbd

image=$work/image
head -c 4M /dev/urandom >"$image"
minimum_of() { nbdinfo --json "$1" | grep -o '"block_size_minimum": *[0-9]*' | grep -o '[0-9]*$'; }

for block in 512 4096 65536; do
  start_serve "$image" --layer "blocksize=$block"
  ours=$(minimum_of "$uri")
  expect_equal "bytes in blocks of $block" "$(nbdcopy "$uri" - | sha256sum)" "$(sha256sum <"$image")"
  stop_serve
  theirs=$(nbdkit -U - --filter=blocksize-policy file "$image" blocksize-minimum=$block blocksize-preferred=65536 \
    --run 'nbdinfo --json "$uri"' | grep -o '"block_size_minimum": *[0-9]*' | grep -o '[0-9]*$')
  expect_equal "minimum" "$ours" "$theirs"
done

# A request that is no multiple is refused by both.
start_serve "$image" --layer blocksize=4096
refused() {
  timeout 20 "$python" - "$1" <<'END'
import sys, nbd
h = nbd.NBD()
h.set_strict_mode(0)
h.connect_uri(sys.argv[1])
try:
    h.pread(512, 512)
    print("read")
except nbd.Error as error:
    print(error.errno)
END
}
expect_equal 'half a block' "$(refused "$uri")" EINVAL
stop_serve

# Bytes where the file below takes blocks of 512 or 4096: cache=none, and nbdkit with its policy.
check_bytes() {
  expect_equal "smallest" "$(minimum_of "$uri")" 1
  timeout 60 "$python" - "$uri" "$image" <<'END'
import random, sys, nbd
uri, path = sys.argv[1:]
model = bytearray(open(path, "rb").read())
clients = [nbd.NBD() for _ in range(3)]
for h in clients:
    h.connect_uri(uri)
random.seed(7)
for i in range(300):
    h = random.choice(clients)
    length = random.choice([1, 100, 511, 4096, 5000, 70000])
    offset = random.randrange(len(model) - length)
    what = random.choice("rwz")
    if what == "r":
        assert h.pread(length, offset) == model[offset:offset + length], (i, offset, length)
    elif what == "w":
        data = random.randbytes(length)
        h.pwrite(data, offset, nbd.CMD_FLAG_FUA if i % 3 == 0 else 0)
        model[offset:offset + length] = data
    else:
        h.zero(length, offset)
        model[offset:offset + length] = bytes(length)
# Neighbours of one block, at once and from several clients.
cookies = []
for n in range(4096):
    h = clients[n % 3]
    data = bytes([n % 251 + 1])
    model[n] = data[0]
    cookies.append((h, h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), n)))
for h, cookie in cookies:
    while not h.aio_command_completed(cookie):
        h.poll(-1)
for h in clients:
    h.flush()
    assert h.pread(len(model), 0) == model
open(path + ".wanted", "wb").write(model)
END
}
start_serve "file:$image?cache=none" --layer blocksize=1
check_bytes
stop_serve
cmp "$image" "$image.wanted"

nbdkit -U "$work/theirs" -P "$work/pid" --filter=blocksize-policy file "$image" blocksize-minimum=4096 \
  blocksize-preferred=4096 blocksize-error-policy=error
at_exit+=("kill \$(cat $work/pid)")
wait_until 10 test -S "$work/theirs"
start_serve "nbd+unix:///?socket=$work/theirs" --layer blocksize=1
check_bytes
stop_serve
cmp "$image" "$image.wanted"

# With an odd part of it, which only small blocks can show; in the other order it is refused.
start_serve "file:$image?cache=none" --layer offset=1001,size=1M --layer blocksize=1
expect_equal 'odd part' "$(nbdcopy "$uri" - | sha256sum)" \
  "$(dd if="$image" iflag=skip_bytes,count_bytes skip=1001 count=1M status=none | sha256sum)"
stop_serve
expect_refused 2 "whole blocks" \
  "$NBDRING" serve "file:$image?cache=none" --layer blocksize=1 --layer offset=1001 --unix "$work/none"
pass "blocksize"
