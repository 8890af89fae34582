#!/bin/bash
# A read-only export says so, and refuses every command that writes, with EPERM, changing nothing.

source "$(dirname "$0")/lib.sh"
requires_libnbd

head -c 1M /dev/urandom >"$work/image"
wanted=$(sha "$work/image")

check() {
  start_serve "$@"
  "$python" - "$uri" <<'END'
import errno, sys
import nbd

h = nbd.NBD()
h.set_strict_mode(0)
h.connect_uri(sys.argv[1])
assert h.is_read_only()
for call, args in ((h.pwrite, (b"x" * 4096, 0)), (h.trim, (4096, 0)), (h.zero, (4096, 0))):
    try:
        call(*args)
        raise AssertionError(f"{call.__name__} succeeded")
    except nbd.Error as error:
        assert error.errnum == errno.EPERM, error
    h.pread(4096, 0)  # still in step
h.shutdown()
END
  stop_serve
  expect_equal "$*" "$(sha "$work/image")" "$wanted"
}

check "$work/image" --read-only
check "file:$work/image?readonly"
check "file:$work/image?cache=none&readonly"
chmod 444 "$work/image"
check "$work/image" -r
check memory:1M --read-only
pass "read-only exports refuse to be written"
