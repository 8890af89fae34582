"""What a client can do wrong, one function per misbehaviour, and what it must not achieve.

usage: run.py SOCKET PID LOG GROUP

GROUP names the module with the cases. Meanwhile a well-behaved client does verified I/O on the same
server. After each case: exactly the log lines that are due, and no thread, descriptor or memory of
that client left.
"""

import importlib
import multiprocessing
import os
import re
import sys
import time

from cases import CASES
from server import PID, Footprint, log_lines, wait_for
from well_behaved import well_behaved


def check_lines(before, lines, at_most):
    due = len(lines)
    if at_most is None:
        wait_for(lambda: len(log_lines()) >= before + due)
    time.sleep(0.05)
    new = log_lines()[before:]
    for line in new:
        assert line.startswith("nbdring: warning: ") and "client=" in line or "limit=" in line, f"unclear: {line!r}"
        assert len(line) < 300 and line.isprintable() or "\\udc" in ascii(line), f"not for a terminal: {line!r}"
    if at_most is not None:
        assert len(new) <= at_most, f"{len(new)} lines, at most {at_most} were due"
        return
    assert len(new) == due, f"{len(new)} lines, {due} were due: {new[:5]}"
    for pattern in lines:
        assert any(re.search(pattern, line) for line in new), f"no line says {pattern!r}: {new[:5]}"


def main():
    ready, stop = multiprocessing.Event(), multiprocessing.Event()
    good = multiprocessing.Process(target=well_behaved, args=(ready, stop), daemon=True)
    good.start()
    assert ready.wait(20), "the well-behaved client cannot start"
    failed = 0
    importlib.import_module(sys.argv[4])
    for function, lines, at_most in CASES:
        footprint, before, begin = Footprint(), len(log_lines()), time.monotonic()
        try:
            function()
            check_lines(before, lines, at_most)
            footprint.check()
            assert good.is_alive(), "the well-behaved client failed"
            print(f"  ok {function.__name__} ({time.monotonic() - begin:.1f} s)")
        except (AssertionError, OSError) as error:
            failed += 1
            print(f"  FAILED {function.__name__}: {error}")
            if not os.path.exists(f"/proc/{PID}"):
                sys.exit("the server is gone")
    stop.set()
    good.join(20)
    assert good.exitcode == 0, "the well-behaved client failed"
    sys.exit(failed > 0)


main()
