#!/bin/bash
# 1 byte, 5000 bytes, empty, 4 GiB + 512 bytes, 1 TiB: the last byte is read and written, and the one
# behind it is not.

source "$(dirname "$0")/lib.sh"
requires_libnbd

# check SIZE-ON-DISK CACHE SIZE-EXPECTED
check() {
  rm -f "$work/image"
  truncate -s "$1" "$work/image"
  start_serve "file:$work/image?cache=$2"
  "$python" - "$uri" "$3" <<'END'
import sys
import nbd

h = nbd.NBD()
h.set_strict_mode(0)
h.connect_uri(sys.argv[1])
size = int(sys.argv[2])
assert h.get_size() == size, h.get_size()
block = max(h.get_block_size(nbd.SIZE_MINIMUM), 1)
if size > 0:
    last = size - block
    assert h.pread(block, last) == bytes(block)
    h.pwrite(b"z" * block, last, nbd.CMD_FLAG_FUA)
    assert h.pread(block, last) == b"z" * block
    first = min(size, 4096)
    h.pwrite(b"a" * first, 0)
    h.trim(min(size, 2**32 - 4096), 0)
    h.flush()
    assert h.pread(first, 0)[:1] in (b"\0", b"z")
for call, args in ((h.pread, (block, size)), (h.pwrite, (b"x" * block, size)), (h.zero, (block, size))):
    try:
        call(*args)
        raise AssertionError(f"{call.__name__} beyond the end succeeded")
    except nbd.Error:
        pass
h.shutdown()
END
  stop_serve
  expect_equal 'the file keeps its size' "$(stat -c %s "$work/image")" "$1"
}

check 0 writeback 0
check 1 writeback 1
check 5000 writeback 5000
check 4294967808 writeback 4294967808
check 1099511627776 writeback 1099511627776
expect_quiet_log
check 0 none 0
check 1099511627776 none 1099511627776
check 4294967808 none 4294967808
# O_DIRECT reaches whole blocks only: what is behind the last one is left out, and that is said.
check 5000 none $((5000 / 512 * 512))
grep -q 'warning.*bytes=392' "$serve_log" || fail "no warning of the last 392 bytes: $(cat "$serve_log")"
pass "empty, odd and huge exports"
