#!/bin/bash
# cow: the base is never written, what is read and written above is what nbdkit's filter of this
# name gives, and an overlay with a name survives the end and the killing of the program.

source "$(dirname "$0")/lib.sh"
requires nbdkit nbdcopy qemu-io qemu-img fio
requires_libnbd

base=$work/base
head -c 9000000 /dev/urandom >"$base" # no multiple of a block
base_sum=$(sha "$base")

# The same requests, at borders of blocks and across them, to whoever serves $1; prints the sum.
change() {
  "$python" - "$1" <<'PYTHON'
import hashlib, nbd, random, sys
handle = nbd.NBD()
handle.connect_uri(sys.argv[1])
numbers = random.Random(4711)
size = handle.get_size()
for _ in range(300):
    offset = numbers.choice([0, 65536, 131072, numbers.randrange(size)]) + numbers.randrange(3)
    length = min(numbers.choice([1, 512, 4096, 65536, 65537, 300000]), size - offset)
    if length <= 0:
        continue
    what = numbers.randrange(4)
    if what == 0 and not handle.can_zero():  # nbdkit's filter
        handle.pwrite(bytes(length), offset)
        numbers.choice([0, 1, 2])
    elif what == 0:
        handle.zero(length, offset, numbers.choice([0, nbd.CMD_FLAG_FUA, nbd.CMD_FLAG_NO_HOLE]))
    elif what == 1:
        handle.pwrite(numbers.randbytes(length), offset, nbd.CMD_FLAG_FUA)
    else:
        handle.pwrite(numbers.randbytes(length), offset)
handle.flush()
digest = hashlib.sha256()
for offset in range(0, size, 1 << 20):
    digest.update(handle.pread(min(1 << 20, size - offset), offset))
print(digest.hexdigest())
handle.shutdown()
PYTHON
}

nbdkit -f -U "$work/nbdkit.sock" --filter=cow file "$base" &
nbdkit_pid=$!
at_exit+=("end_process $nbdkit_pid")
wait_until 20 is_listening "$work/nbdkit.sock" || fail "nbdkit does not listen"
theirs=$(change "nbd+unix:///?socket=$work/nbdkit.sock")

for layer in cow "cow=$work/overlay"; do
  chmod a-w "$base"
  start_serve "$base" --layer "$layer"
  expect_equal "$layer" "$(change "$uri")" "$theirs"
  stop_serve
  expect_quiet_log
  expect_equal "the base under $layer" "$(sha "$base")" "$base_sum"
done
pass "the same bytes as nbdkit's"

# What was flushed is there again, after an orderly end and after a kill.
start_serve "$base" --layer "cow=$work/overlay"
expect_equal "opened again" "$(nbdcopy "$uri" - | sha256sum | cut -d ' ' -f 1)" "$theirs"
qemu-io -f raw "$uri" -c 'write -P 0x5a 1000000 200000' -c flush >/dev/null
wanted=$(nbdcopy "$uri" - | sha256sum | cut -d ' ' -f 1)
end_process "$serve_pid"
start_serve "$base" --layer "cow=$work/overlay"
expect_equal "after a kill" "$(nbdcopy "$uri" - | sha256sum | cut -d ' ' -f 1)" "$wanted"
expect_refused 3 "is in use" "$NBDRING" serve "$base" --layer "cow=$work/overlay" --unix "$work/two"
stop_serve
head -c 9000001 /dev/zero >"$work/other"
expect_refused 2 "belongs to a base of 9000000 bytes" \
  "$NBDRING" serve "$work/other" --layer "cow=$work/overlay" --unix "$work/two"
head -c 9000000 /dev/zero >"$work/other"
expect_refused 2 "belongs to another base" \
  "$NBDRING" serve "$work/other" --layer "cow=$work/overlay" --unix "$work/two"
expect_refused 2 "is a file, but not an overlay" \
  "$NBDRING" serve "$base" --layer "cow=$work/other" --unix "$work/two"
pass "an overlay with a name is kept"

# Many connections at once; and holes: of a base that is one, and of blocks that were zeroed.
rm -f "$work/sparse"
truncate -s 64M "$work/sparse"
start_serve "$work/sparse" --layer cow
fio --name=cow --ioengine=nbd --uri="$uri" --rw=randwrite --bs=4k --size=64M --io_size=16M \
  --iodepth=16 --numjobs=1 --verify=crc32c --verify_state_save=0 --output="$work/fio.log" ||
  fail "fio: $(cat "$work/fio.log")"
qemu-io -f raw "$uri" -c 'write -z -u 0 48M' >/dev/null
nbdcopy --connections=4 "$uri" "$work/copy"
expect_equal "the base" "$(bytes_allocated "$work/sparse")" 0
(($(bytes_allocated "$work/copy") <= 17 * 1024 * 1024)) || fail "holes were filled"
stop_serve
pass "fio verifies, and holes stay holes"
