// What `nbdring bench --help` prints.

#include "cli/help_texts.hpp"

namespace nbdring {

const std::string_view bench_help =
    R"(Measure how fast a backend or a device is: throughput, requests per second,
latencies, and what a request costs the processor.

Usage: nbdring bench BACKEND|DEVICE [OPTION...]
       nbdring bench --compare A B... [OPTION...]

A DEVICE is /dev/nbdN or any other block device, or the id or name of an
attached one; it is read and written directly (O_DIRECT). A plain file goes
through the page cache, unless it is file:PATH?cache=none.

Options:
      --compare A B...     measure several in turn, round by round, and show the
                           others' ratios to the first
  -p, --pattern LIST       sequential; random: each block once before any twice;
                           zipf[:THETA]: some far more often than others
                           (default: random; THETA 1.1)
  -b, --block-size LIST    bytes of a request, or with K, M (default: 4k,256k)
  -d, --depth LIST         requests in flight, on each connection, up to 256
                           (default: 1,32)
  -c, --connections LIST   up to 16, each with a thread and a part of the range
                           of its own (default: 1)
      --reads PERCENT      of the requests; the others write (default: 100, with
                           --write 0)
      --write              allow that what is there is overwritten. A device
                           that is mounted or held by anybody is refused
      --verify             read back what was written and compare each block
                           with what it must be
  -t, --seconds S          for each point, from 0.1; a tenth of it, at most a
                           second, goes before to warm up (default: 5)
      --rounds N           measure everything so often; the table has the
                           medians (default: 1, with --compare 3)
      --offset BYTES       use only what lies behind it (default: 0), or with K,
                           M, G, T
      --size BYTES         use only so much (default: to the end)
      --seed N             other blocks, and other bytes in them (default: 1)
      --json               one object instead of the table
      --csv                lines instead of the table
      --plot FILE          draw it too, as FILE.svg or FILE.png says (gnuplot)
      --layer NAME[=ARG]   put a layer in front of each target; repeatable, the
                           outermost first (`nbdring --help` lists them)
)" NBDRING_REMOTE_TLS_HELP R"(      --config FILE        names for backends and defaults (default:
                           /etc/nbdring/nbdring.toml, if it exists)
  -v, --verbose            say more on standard error
      --log-format FORMAT  text or json (default: text)
      --strict             unknown parameters of BACKEND, and keys of
                           the configuration file, are errors

Of several values, separated by commas, every combination is a point. The CPU is
user and system time of this process (client) and, where it can be seen, of the
one that serves (engine): that of an attached device, or who listens on a Unix
socket. Writes to a remote backend are flushed now and then, as an attached
device's are. What does not answer for 30 s is given up.

Exit code 1 where a request failed, hung or read back wrong. Ctrl-C ends it at
once, shows what was measured so far, and the exit code is 130. Needs no root
for what its user can open.

Examples:
  nbdring bench nbd://server/export
  nbdring bench /dev/nbd0 -b 4k -d 1,8,32,128 --plot depth.svg
  nbdring bench memory:1G --reads 70 --write --verify
  nbdring bench --compare 'nbd+unix:///?socket=a' 'nbd+unix:///?socket=b' -t 3
)";

}  // namespace nbdring
