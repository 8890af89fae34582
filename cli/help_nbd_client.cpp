// The text of --help of nbdring where it is called as nbd-client.

#include "cli/help_texts.hpp"

namespace nbdring {

const std::string_view nbd_client_help =
    R"(nbd-client's command line, release 3.24, done by nbdring: a link to nbdring
with the name nbd-client takes it.

Usage: nbd-client HOST [PORT] [DEVICE] [OPTION...]
       nbd-client -unix PATH [DEVICE] [OPTION...]
       nbd-client DEVICE
       nbd-client -d|-c DEVICE
       nbd-client -l HOST [PORT]

DEVICE is /dev/nbdN or nbdN (default: a free one); alone, it is looked up in
/etc/nbdtab and then in /etc/nbdring/tab. PORT is 10809 where it is not given.
Long options take one dash or two and may be shortened.

Options:
  -N, -name NAME           the export (default: the server's default one)
  -u, -unix                PATH is a Unix socket
  -b, -block-size BYTES    512, 1024, 2048 or 4096 (default: the backend's)
  -B, -size BYTES          no more of the export than these
  -C, -connections N       connections, at most 16
  -t, -timeout S           seconds that I/O waits for a server that is silent or
                           away, before it fails (default, and 0: for ever);
                           attach's --recovery-window; -T is the same
  -R, -readonly            a read-only device
  -n, -nofork              with -L: stay in the foreground
  -m, -systemd-mark        the root file system is on it: attach's --root-device
  -x, -enable-tls          TLS, which the four below ask for too
  -F, -certfile FILE       the client's certificate, in PEM form
  -K, -keyfile FILE        its key, mode 0600
  -A, -cacertfile FILE     the authorities (default: the system's)
  -H, -tlshostname NAME    whom the server's certificate must name (default:
                           HOST)
  -d, -disconnect DEVICE   write out and disconnect a device that nobody uses;
                           also one that another program connected
  -c, -check DEVICE        print the process that serves DEVICE; exit code 1
                           where it is not connected, 2 where that is unknown
  -l, -list                the exports of a server
  -V, -version             print the version
  -h, -help                this text

What -p, -s, -L and -g (-persist, -swap, -nonetlink, -no-optgo) ask for is
always so, or means nothing here; a line on standard error says which. Refused
are -P (-preinit) and -S (-sdp). A device that stays when its server goes away,
`nbdring status` and everything else is as with `nbdring attach`.

Exit code 0, or 1 where something failed.

Examples:
  nbd-client server -N disk1 /dev/nbd0
  nbd-client -d /dev/nbd0
)";

}  // namespace nbdring
