#!/bin/bash
# FLUSH leaves no dirty page of the image, on whichever connection it comes, and a FUA write, trim or
# zeroing leaves none of its own. The kernel counts dirty pages per file: cachestat(2), Linux 6.5.

source "$(dirname "$0")/lib.sh"
requires_libnbd

cat >"$work/dirty.py" <<'END'
import ctypes, os
import nbd

class Range(ctypes.Structure):
    _fields_ = [("offset", ctypes.c_uint64), ("length", ctypes.c_uint64)]

class Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently")]

libc = ctypes.CDLL(None, use_errno=True)
SYS_cachestat = 451

def dirty_pages(file, offset=0, length=0):
    counts = Counts()
    if libc.syscall(SYS_cachestat, file, ctypes.byref(Range(offset, length)), ctypes.byref(counts), 0) != 0:
        raise OSError(ctypes.get_errno(), "cachestat")
    return counts.dirty + counts.writeback
END

tries_cachestat='import os, dirty; dirty.dirty_pages(os.open("/", os.O_RDONLY))'
PYTHONPATH=$work "$python" -c "$tries_cachestat" 2>"$work/out" || ! grep -q 'Errno 38' "$work/out" ||
  skip "this kernel has no cachestat"

start_backend writeback 64M
"$python" - "$work" "$uri" "$image" <<'END'
import os, sys
sys.path.insert(0, sys.argv[1])
import nbd
from dirty import dirty_pages

image = os.open(sys.argv[3], os.O_RDONLY)

def connect():
    h = nbd.NBD()
    h.connect_uri(sys.argv[2])
    return h

a, b = connect(), connect()
os.fsync(image)
if os.statvfs(image).f_bsize == 0 or dirty_pages(image) != 0:
    sys.exit("a clean file has dirty pages")

a.pwrite(b"1" * (1 << 20), 0)
b.pwrite(b"2" * (1 << 20), 8 << 20)
assert dirty_pages(image) > 0, "a plain write was not cached: this test cannot tell anything"
a.flush()
assert dirty_pages(image) == 0, "dirty after FLUSH: it must cover the other connection's writes"

a.pwrite(b"3" * (1 << 20), 16 << 20)
a.pwrite(b"4" * 65536, 32 << 20, nbd.CMD_FLAG_FUA)
assert dirty_pages(image, 32 << 20, 65536) == 0, "dirty after a FUA write"
assert dirty_pages(image, 16 << 20, 1 << 20) > 0, "FUA is not FLUSH"

a.pwrite(b"5" * 65536, 40 << 20)
a.zero(4096, 40 << 20, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE)
assert dirty_pages(image, 40 << 20, 4096) == 0, "dirty after FUA zeroes"
END
stop_serve
expect_quiet_log

# O_DIRECT: what was answered never was in the page cache.
start_backend none 64M
"$python" - "$work" "$uri" "$image" <<'END'
import os, sys
sys.path.insert(0, sys.argv[1])
import nbd
from dirty import dirty_pages

h = nbd.NBD()
h.connect_uri(sys.argv[2])
h.pwrite(b"1" * (1 << 20), 0)
assert dirty_pages(os.open(sys.argv[3], os.O_RDONLY)) == 0, "cache=none left dirty pages"
END
stop_serve
pass "no dirty page after FLUSH and FUA"
