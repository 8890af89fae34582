// The texts of --help of the commands that take websocket peers.

#include "cli/help_texts.hpp"

namespace nbdring {

const std::string_view gateway_help =
    R"(Listen for websocket peers that serve a disk image, such as the page that this
command serves, and give each configuration a block device of what its peer has.

Usage: nbdring gateway [OPTION...]

Where to listen (repeatable; sockets passed by systemd are taken as well):
      --listen ADDR:PORT   host, IPv4 or [IPv6] address; with port 0 a free
                           port is taken and the URL printed
      --unix PATH          a Unix socket, mode 0600, removed at the end

Who may (one of them at least):
      --insecure           anybody who can reach it
      --tokens FILE        who has a one-time token: the store of
                           `nbdring token` (default: /var/lib/nbdring/tokens)
      --tls-psk FILE       TLS with psktool's user:hexkey lines; the users that
                           a configuration names need no token
      --tls-certificates DIR
                           TLS with server-cert.pem and server-key.pem;
                           ca-cert.pem and ca-crl.pem for peers' certificates
      --tls-verify-peer    demand a certificate of each peer without a PSK
      --tls-priority TEXT  versions and ciphers, in GnuTLS's syntax

Options:
      --json-config FILE   configurations from jsnbd's config.json, instead of
                           those of the configuration file
      --state-dir DIR      the state hooks (default: /etc/nbdring/state.d)
      --config FILE        the configuration file, with the sections [gateway]
                           and [gateway.configurations.NAME] (default:
                           /etc/nbdring/nbdring.toml, if it exists)
  -v, --verbose            say more on standard error
      --log-format FORMAT  text or json (default: text)
      --strict             unknown keys of the files are errors

Without a configuration there is one, "0", with a free device. A configuration
has: path or paths (default: "/NAME"), device = "auto" or "/dev/nbdN", or
socket = "PATH", where its NBD server listens instead; read-only, size-min,
size-max, connections, layers, default, metadata, users; timeout, the seconds
that a peer may leave a request unanswered (30); grace, those that I/O waits for
a peer that is away (60). In [gateway]: listen, insecure, tokens, origins,
state-dir, hook-timeout (30), tls-psk-file, tls-certificates, tls-verify-peer.

When a session starts, and when it ends, each executable in the state folder is
run in order: HOOK start|stop CONFIGURATION, with NBDRING_DEVICE, NBDRING_SIZE,
NBDRING_PEER, NBDRING_CONFIGURATION and NBDRING_READ_ONLY in its environment.
The device can be used meanwhile. A hook that fails, or takes longer than
hook-timeout, ends the session.

Stays in the foreground; SIGTERM or Ctrl-C ends every session and then it, exit
code 0. systemd is told READY=1 when it listens. Devices need root.

Examples:
  nbdring gateway --listen 127.0.0.1:8080 --insecure
  nbdring gateway --listen 0.0.0.0:8443 --tls-certificates /etc/nbdring/pki
)";

const std::string_view proxy_help =
    R"(Give a configuration a block device of what the NBD server at standard input
and output has: nbd-proxy's work, under websocketd or any other that connects a
websocket's bytes to a program. `nbd-proxy` as the program's name is the same.

Usage: nbdring proxy [CONFIGURATION] [OPTION...]
       nbd-proxy [CONFIGURATION] [OPTION...]

  CONFIGURATION            which one (default: the one that says it is the
                           default, or the only one)

Options:
      --metadata           print the configurations' metadata as JSON, and end
      --json-config FILE   the configurations (default:
                           /etc/nbd-proxy/config.json)
      --state-dir DIR      the state hooks (default: /etc/nbd-proxy/state and
                           those in /etc/nbd-proxy/state.d)
      --config FILE        take configurations, state-dir and hook-timeout from
                           this configuration file, as `nbdring gateway` does
  -v, --verbose            say more on standard error
      --log-format FORMAT  text or json (default: text)
      --strict             unknown keys of the files are errors

Ends when standard input does, when the device is detached, or by SIGTERM; exit
code 0, or that of what kept the session from starting. The hooks are called as
`nbdring gateway --help` has it. Devices need root.

Examples:
  websocketd --binary --port=8000 nbd-proxy 0
  nbdring proxy --metadata
)";

}  // namespace nbdring
