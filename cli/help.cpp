#include "cli/help.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "cli/help_texts.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::string_view program_help =
    R"(nbdring attaches a file, a remote disk, or whatever else holds bytes, to
/dev/nbdN, or serves it to any NBD client.

Usage: nbdring COMMAND [OPTION...]

Commands:
  attach BACKEND [DEVICE]   attach a backend and print its device
  detach DEVICE|ID|NAME     end a device that is not in use
  list                      the devices that nbdring attached here
  status DEVICE|ID|NAME     what a device is doing, per connection
  resize DEVICE [SIZE]      make a device larger, or smaller, while it is used
  upgrade DEVICE|--all      hand running devices to a new nbdring
  serve BACKEND             be an NBD server on a socket
  info BACKEND              what a server exports, and how it is reached
  gateway                   take disks from browsers and websocket peers
  proxy [CONFIGURATION]     the same over standard input and output (nbd-proxy)
  token create|list|revoke  one-time tokens that let people in at the gateway
  bench BACKEND|DEVICE      how fast a backend or a device is
  doctor                    what of this machine stands in the way

A BACKEND is one of:
  PATH, file:PATH[?cache=writeback|none&offset=BYTES&size=BYTES&readonly]
  nbd://HOST[:PORT]/EXPORT  a remote export; nbds:// demands TLS
  nbd+unix:///EXPORT?socket=PATH      over a Unix socket; nbds+unix:// with TLS
  nbd+vsock://CID[:PORT]/EXPORT       over vsock; nbds+vsock:// with TLS
  nbd+ssh://[USER@]HOST[:PORT]/EXPORT?socket=PATH[&command=][&netcat=]
      [&keyfile=]           through ssh, to a Unix socket on the far side
  nbd+ext:///EXPORT?command=CMD       CMD's input and output are the connection
  ws://HOST[:PORT]/PATH[?export=NAME&token-file=FILE]    a websocket whose far
                            side serves NBD; wss:// demands TLS
  exec:CMD                  a server that CMD starts by socket activation, as
                            exec:nbdkit memory 1G
  memory:SIZE               RAM; gone when detached. For trying and measuring
  null:SIZE                 reads zeros, forgets writes. For measuring
  NAME                      an alias for one of the others

A NAME has no '/', ':', ';' or white space and begins with neither '.' nor '-'.
It is looked for in NBDRING_ROUTES="NAME URI;NAME URI" (a ';' in a URI is %3B),
then in the section [aliases] of the configuration file, NAME = "URI". A URI may
be a NAME again, 8 deep. No alias: it is a PATH. An alias goes before a file of
the same name, which is ./NAME. The file, /etc/nbdring/nbdring.toml or --config,
also has defaults: in [attach] connections, timeout and recovery-window; in
[tls] psk-file, certificates and priority, for remote backends with TLS whose
URI and options do not say.

TLS parameters of a URI: tls-psk-file=FILE (the user is the URI's: USER@HOST),
tls-certificates=DIR, tls-hostname=, tls-verify-peer=, tls-priority=.

A layer stands in front of a backend and changes what is seen of it; `--layer`
is repeatable, the outermost first:
  readonly                  writes are refused
  offset=BYTES[,size=BYTES] a part of it
  partition=N               a partition of a GPT or MBR, logical ones too
  tar=MEMBER                a file in a tar archive; of an XVA the disk Ref:N,
                            read-only
  blocksize=BYTES           the smallest block offered, 1 to 65536; parts of the
                            blocks below are read, changed and written
  cow[=PATH]                changes go to a file (one in /var/tmp); what is
                            below is only read
  cache[=PATH][,size=BYTES] what was read is kept in a local file; writes go
                            through
  readahead[=BYTES]         what a sequential reader will want is fetched ahead
  rate=BYTES[/s]            what is read and written in a second
  delay=MS, delay=read:MS,write:MS,flush:MS,trim:MS,zero:MS,extents:MS
                            each request waits first
  error=ERRNO[:RATE%][:COMMAND][:file=PATH]
                            requests fail, while PATH exists
  log=PATH                  a line for each request; never a file on the device
                            itself, which would wait for itself
Reconnecting is what a remote backend does by itself, and counting `status`.

Options for every command:
  -h, --help                this text, or that of the command
      --version             print the version
  -v, --verbose             say more on standard error
      --log-format FORMAT   text or json (default: text)

Exit codes:
  0 done                    4 no such device or name
  1 failed                  5 backend out of reach
  2 wrong usage             6 refused by TLS or authentication
  3 device busy             7 this kernel or user cannot attach

Examples:
  nbdring attach disk.img
  nbdring serve disk.img --unix /tmp/disk.sock
  nbdring attach --help
)";

constexpr std::string_view attach_help =
    R"(Attach a backend to /dev/nbdN; print the device once it can be used.

Usage: nbdring attach BACKEND [DEVICE] [OPTION...]

  BACKEND                  what holds the bytes: a PATH, nbd://HOST/EXPORT,
                           a NAME, ... (`nbdring --help` has them all)
  DEVICE                   /dev/nbdN or N (default: a free one)

Options:
  -f, --foreground         stay; systemd is told READY=1 when the device is up
  -c, --connections N      connections to the driver, 1 to 16, each with a
                           thread (default: the CPUs, at most 4)
  -r, --read-only          a read-only device
  -b, --block-size BYTES   512, 1024, 2048 or 4096 (default: the backend's)
      --timeout S          seconds until the driver sends a request again, over
                           another connection; what was in flight when an engine
                           died comes back after this (default: 30; 60 for a
                           remote backend)
      --recovery-window S  seconds that I/O waits while a remote server is away,
                           before it fails (default: for ever), or for an engine
                           that has died (default: 300)
      --id ID              identity; an ID that is attached is not attached
                           twice (default: the backend, as file:/abs/path)
      --name NAME          a short name for detach and status
      --from-tab NAME      an entry of /etc/nbdring/tab, instead of BACKEND and
                           the options that the entry has
      --tab FILE           another file than /etc/nbdring/tab
      --wait               for a BACKEND that is out of reach: do not fail
      --root-device        the root file system will be on it: not ended by
                           SIGTERM while in use, nor by systemd's last kill
      --path PATH          engine: the driver's requests go through this engine;
                           kernel: the driver talks to the server itself (see
                           below); auto, the default, is engine
      --layer NAME[=ARG]   put a layer in front of BACKEND; repeatable, the
                           outermost first (`nbdring --help` lists them)
)" NBDRING_REMOTE_TLS_HELP R"(      --config FILE        names for backends and defaults (default:
                           /etc/nbdring/nbdring.toml, if it exists)
  -v, --verbose            say more on standard error
      --log-format FORMAT  text or json (default: text)
      --strict             unknown parameters of BACKEND, and keys of
                           the configuration file, are errors

The engine stays in the background and logs to the journal, or to
/run/nbdring/nbdN.log where there is none. Attaching an ID that is attached
prints its device and succeeds. Needs root.

With --path kernel, for nbd:// and nbd+unix:// without TLS and layers, the
driver has the connections to the server: less work per request, less safety.
The engine connects again where a connection is lost, and what was on its way
comes back after --timeout (default: 30). But what the server has acknowledged
and not flushed is lost if it crashes; I/O fails when it is away for longer than
--recovery-window (default: 300), and what a server that is being stopped
refuses (ESHUTDOWN) fails at once. There are several connections only where the
server allows it (multi-conn). Such a device cannot be resized.

Examples:
  nbdring attach disk.img
  nbdring attach 'file:/srv/disk.img?cache=none' /dev/nbd3 -c 4 --name srv
)";

constexpr std::string_view detach_help =
    R"(Write everything out and end a device, unless it is in use.

Usage: nbdring detach DEVICE|ID|NAME [OPTION...]
       nbdring detach --all [OPTION...]

A device that is mounted, used as swap, held by another device or open is left
alone: its users are named and the exit code is 3. Where the engine has died,
the driver's part and the traces are cleaned up. Needs root.

Options:
      --force              end it although it is in use: its users get I/O
                           errors, and what they had not written is lost
      --all                every device of `nbdring list`; goes on when one
                           fails, and reports each
      --config FILE        names for backends, by which to find a device
                           (default: /etc/nbdring/nbdring.toml, if it exists)
  -v, --verbose            say more on standard error
      --log-format FORMAT  text or json (default: text)

Examples:
  nbdring detach /dev/nbd0
  nbdring detach --all
)";

constexpr std::string_view list_help =
    R"(Show every device of this machine that nbdring attached.

Usage: nbdring list [OPTION...]

Options:
      --json               an array of objects, [] when there is none
  -v, --verbose            say more on standard error
      --log-format FORMAT  text or json (default: text)

"engine gone" means that the process which served the device has died;
`nbdring detach` cleans up after it. Needs root.

Examples:
  nbdring list
  nbdring list --json | jq -r '.[].device'
)";

constexpr std::string_view status_help =
    R"(Show what a device is doing: requests, bytes, errors and latency.

Usage: nbdring status DEVICE|ID|NAME [OPTION...]

Options:
      --json               one object; latencies in nanoseconds
      --prometheus         Prometheus text format
      --watch              draw it again each second until Ctrl-C; the rates
                           are those of the last second
      --config FILE        names for backends, by which to find a device
                           (default: /etc/nbdring/nbdring.toml, if it exists)
  -v, --verbose            say more on standard error
      --log-format FORMAT  text or json (default: text)

A lane is one connection between the driver and the engine. Counts are since
the device was attached; a percentile is right to a fifth. Needs root.

Examples:
  nbdring status /dev/nbd0 --watch
  nbdring status srv --json | jq .totals.read.requests
)";

constexpr std::string_view serve_help =
    R"(Be an NBD server: the same engine, on a socket instead of /dev/nbdN.

Usage: nbdring serve BACKEND --unix PATH | --tcp ADDR:PORT | --fd N [OPTION...]

  BACKEND                  what holds the bytes: a PATH, nbd://HOST/EXPORT,
                           a NAME, ... (`nbdring --help` has them all)

Where to listen (repeatable; sockets passed by systemd are taken as well):
      --unix PATH          a Unix socket, mode 0600, removed at the end
      --tcp ADDR:PORT      host, IPv4 or [IPv6] address; with port 0 a free
                           port is taken and the URI printed
      --fd N               a socket that was inherited: listening, or
                           connected to one client

Options:
  -r, --read-only          refuse writes
      --layer NAME[=ARG]   put a layer in front of BACKEND; repeatable, the
                           outermost first (`nbdring --help` lists them)
  -n, --export-name NAME   name of the export; clients may ask for it or for
                           the default export "" (default: "")
      --max-clients N      clients at once, 1 to 4096 (default: 64)
      --timeout S          seconds that a client may stop in the middle of a
                           message, 1 or more (default: 30)
      --tls POLICY         off, allow (in clear as well) or require (default:
                           require where keys are given, else off)
      --tls-psk FILE       psktool's user:hexkey lines, read again when changed
      --tls-certificates DIR
                           server-cert.pem and server-key.pem; ca-cert.pem and
                           ca-crl.pem for clients' certificates
      --tls-verify-peer    demand a certificate of each client without a PSK
      --tls-priority TEXT  versions and ciphers, in GnuTLS's syntax
      --config FILE        names for backends (default:
                           /etc/nbdring/nbdring.toml, if it exists)
  -v, --verbose            say more on standard error
      --log-format FORMAT  text or json (default: text)
      --strict             unknown parameters of BACKEND, and keys of
                           the configuration file, are errors

These --tls options are for the clients; those of a remote BACKEND are in its
URI. Files with keys must be readable by their owner alone.

Stays in the foreground; SIGTERM or Ctrl-C ends it, exit code 0. systemd is
told READY=1 when it listens. Needs no root.

Examples:
  nbdring serve disk.img --unix /tmp/disk.sock
  nbdring serve 'file:/srv/disk.img?readonly' --tcp 127.0.0.1:10809
  nbdring serve disk.img --tcp 0.0.0.0:10809 --tls-psk /etc/nbdring/keys.psk
)";

constexpr std::string_view info_help =
    R"(Show what a server exports, without attaching it, or what a local backend is
(which is opened read-only for it, and shown so).

Usage: nbdring info BACKEND [OPTION...]

Options:
      --layer NAME[=ARG]   put a layer in front of BACKEND; repeatable, the
                           outermost first (`nbdring --help` lists them)
      --list               every export of the server
      --json               one object; sizes in bytes
)" NBDRING_REMOTE_TLS_HELP R"(      --config FILE        names for backends and defaults (default:
                           /etc/nbdring/nbdring.toml, if it exists)
  -v, --verbose            say more on standard error
      --log-format FORMAT  text or json (default: text)
      --strict             unknown parameters of BACKEND, and keys of
                           the configuration file, are errors

Exit code 4 where there is no such export, 5 where nobody answers, 6 where TLS
or the server refuses. Needs no root.

Examples:
  nbdring info nbd://server/export
  nbdring info --list --json 'nbds://alice@server/?tls-psk-file=keys.psk'
)";

constexpr std::string_view doctor_help =
    R"(Show what of this machine stands in the way of attaching, and what to do.

Usage: nbdring doctor [OPTION...]

Looks at the kernel's version and known driver bugs, io_uring, the nbd module,
permissions and limits. Changes nothing. Exit code 0 where nothing blocks, 7
where attaching is impossible.

Options:
  -v, --verbose            also what is fine
      --log-format FORMAT  text or json (default: text)

Examples:
  nbdring doctor
  sudo nbdring doctor -v
)";

using Text = std::pair<std::string_view, std::string_view>;

const std::array<Text, 15> texts{{
    {"", program_help},
    {"attach", attach_help},
    {"detach", detach_help},
    {"list", list_help},
    {"status", status_help},
    {"resize", resize_help},
    {"upgrade", upgrade_help},
    {"serve", serve_help},
    {"info", info_help},
    {"gateway", gateway_help},
    {"proxy", proxy_help},
    {"token", token_help},
    {"bench", bench_help},
    {"doctor", doctor_help},
    {"nbd-client", nbd_client_help},
}};

}  // namespace

std::string help_text(const std::string& command) {
  for (const auto& [name, text] : texts) {
    if (name == command) return std::string(text);
  }
  ENSURE(!"every command has a help text");
  return {};
}

}  // namespace nbdring
