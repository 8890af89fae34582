#!/bin/bash
# Old newstyle (EXPORT_NAME, with and without padding), fixed newstyle with LIST, INFO, ABORT and GO,
# structured replies or not, metadata contexts or not: every client that exists can come in.

source "$(dirname "$0")/lib.sh"
requires_libnbd

start_serve memory:1M --export-name disk
"$python" - "$socket" <<'END'
import sys
import nbd

def handle(**settings):
    h = nbd.NBD()
    h.set_opt_mode(settings.get("opt_mode", False))
    for name, value in settings.items():
        if name != "opt_mode":
            getattr(h, "set_" + name)(value)
    h.connect_unix(sys.argv[1])
    return h

def works(h):
    assert h.get_size() == 1 << 20
    h.pwrite(b"abc" * 100, 4096)
    assert h.pread(300, 4096) == b"abc" * 100
    h.shutdown()

FIXED, NO_ZEROES = nbd.HANDSHAKE_FLAG_FIXED_NEWSTYLE, nbd.HANDSHAKE_FLAG_NO_ZEROES
for flags in (0, NO_ZEROES, FIXED, FIXED | NO_ZEROES):
    for name in ("", "disk"):
        h = handle(handshake_flags=flags, export_name=name)
        assert h.get_protocol() == ("newstyle-fixed" if flags & FIXED else "newstyle")
        assert h.get_structured_replies_negotiated() == bool(flags & FIXED)
        works(h)

for structured in (False, True):
    works(handle(request_structured_replies=structured))

# Haggling by hand.
h = handle(opt_mode=True, full_info=True)
names = []
assert h.opt_list(lambda name, text: names.append(name) or 0) == 1 and names == ["disk"]
h.set_export_name("disk")
h.opt_info()
assert h.get_size() == 1 << 20 and h.get_canonical_export_name() == "disk"
contexts = []
h.opt_list_meta_context(lambda name: contexts.append(name) or 0)
assert contexts == ["base:allocation"], contexts
h.set_export_name("other")
for option in (h.opt_info, h.opt_go):
    try:
        option()
        raise AssertionError("an unknown name was served")
    except nbd.Error:
        pass
h.set_export_name("disk")
h.add_meta_context("base:allocation")
h.add_meta_context("x-other:context")  # unknown: not an error, only not selected
h.opt_go()
assert h.can_meta_context("base:allocation") and not h.can_meta_context("x-other:context")
works(h)

h = handle(opt_mode=True)
h.opt_abort()
assert h.aio_is_closed()

h = handle(opt_mode=True)  # leaves without a word
del h
works(handle())
END
stop_serve
# Each who did not finish the handshake has one line, if any.
(($(wc -l <"$serve_log") <= 3)) || fail "too many lines: $(cat "$serve_log")"
pass "EXPORT_NAME, LIST, INFO, ABORT, GO, structured replies, contexts"
