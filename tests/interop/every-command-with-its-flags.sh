#!/bin/bash
# Every command with every flag it may carry, and the error of every one it may not; simple and
# structured replies.

source "$(dirname "$0")/lib.sh"
requires_libnbd

session() {
  "$python" - "$uri" <<'END'
import errno, sys
import nbd

size = 64 << 20
page = b"\x5a" * 4096
FUA, NO_HOLE, FAST, DF, ONE = (nbd.CMD_FLAG_FUA, nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_FAST_ZERO,
                               nbd.CMD_FLAG_DF, nbd.CMD_FLAG_REQ_ONE)

def connect(structured):
    h = nbd.NBD()
    h.set_strict_mode(0)  # the server, not libnbd, shall say no
    h.set_request_structured_replies(structured)
    h.add_meta_context("base:allocation")
    h.connect_uri(sys.argv[1])
    assert h.get_structured_replies_negotiated() == structured
    return h

def refused(name, call, *args):
    try:
        call(*args)
    except nbd.Error as error:
        assert error.errnum == getattr(errno, name), f"{error} instead of {name}"
        return
    raise AssertionError(f"{call.__name__}{args[1:]} succeeded instead of {name}")

for structured in (False, True):
    h = connect(structured)
    for flags in (0, FUA):
        h.pwrite(page * 4, 0, flags)
        assert h.pread(16384, 0) == page * 4
        h.trim(4096, 0, flags)
        assert h.pread(4096, 4096) == page
        for hole in (0, NO_HOLE):
            h.pwrite(page, 8192)
            h.zero(4096, 8192, flags | hole)
            assert h.pread(8192, 8192) == bytes(4096) + page
    if h.can_fast_zero():
        h.pwrite(page, 8192)
        try:
            h.zero(4096, 8192, FAST)
            assert h.pread(4096, 8192) == bytes(4096)
        except nbd.Error as error:
            assert error.errnum in (errno.ENOTSUP, errno.EOPNOTSUPP), error
            assert h.pread(4096, 8192) == page
    h.flush()
    h.pread(4096, 0, FUA)  # FUA is allowed, and without meaning, everywhere
    if structured:
        assert h.can_df()
        h.pread(65536, 0, DF)
        extents = []
        def note(context, offset, entries, error):
            assert context == "base:allocation"
            extents.append(entries)
        h.block_status(size, 0, note)
        assert sum(extents[-1][0::2]) == size, extents
        h.block_status(size, 0, note, ONE)
        assert len(extents[-1]) == 2, extents
        refused("EINVAL", h.pread, 4096, 0, NO_HOLE)
    else:
        assert not h.can_df()
        refused("EINVAL", h.pread, 4096, 0, DF)
    refused("EINVAL", h.pwrite, page, 0, DF)
    refused("EINVAL", h.pwrite, page, 0, NO_HOLE)
    refused("EINVAL", h.trim, 4096, 0, NO_HOLE)
    refused("EINVAL", h.trim, 4096, 0, FAST)
    refused("EINVAL", h.zero, 4096, 0, ONE)
    refused("EINVAL", h.flush, 1 << 12)

    refused("EINVAL", h.pread, 4096, size)
    refused("EINVAL", h.pread, 8192, size - 4096)
    refused("ENOSPC", h.pwrite, page * 2, size - 4096)
    refused("ENOSPC", h.zero, 8192, size - 4096)
    refused("EINVAL", h.trim, 8192, size - 4096)
    refused("EINVAL", h.pread, 4096, 2**64 - 4096)
    refused("ENOSPC", h.pwrite, page, 2**64 - 4096)
    refused("EINVAL", h.pread, 0, 0)
    refused("EINVAL", h.pwrite, b"", 0)
    refused("EINVAL", h.trim, 0, 0)
    refused("EINVAL", h.zero, 0, 0)
    refused("EINVAL", h.cache, 4096, 0)
    if h.get_block_size(nbd.SIZE_MINIMUM) > 1:
        refused("EINVAL", h.pread, 100, 0)
        refused("EINVAL", h.pwrite, b"x", 1)
    else:
        h.pwrite(b"x", 1)
        assert h.pread(3, 0) == bytes(1) + b"x" + bytes(1)

    h.trim(size, 0)  # as long as the export: neither has a payload
    h.zero(size, 0)
    assert h.pread(65536, size - 65536) == bytes(65536)
    h.shutdown()
END
}

on_each_backend 64M session
pass "every command, flag and error, as the specification has them"
