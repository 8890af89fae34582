// The text of --help of `token`.

#include "cli/help_texts.hpp"

namespace nbdring {

const std::string_view token_help =
    R"(Make, list and revoke the one-time tokens that let people in at the gateway.

Usage: nbdring token create [OPTION...]
       nbdring token list [--json] [--store FILE]
       nbdring token revoke ID|--all [--store FILE]

create prints "id:secret": what `nbdring` takes as --token-file's content and an
HTTP client as "Authorization: Bearer id:secret". It is shown this once. Using
it ends it, and whoever used it gets the next one, until the time is over.

Options of create:
      --configuration NAME what it opens (default: the gateway's default one)
      --label TEXT         whose it is, for the gateway's log; up to 64 bytes
  -r, --read-only          its holder's device cannot be written to
      --expires TIME       30m, 12h, 7d, 4w or never; its successors have no
                           longer (default: 30d)
      --url URL            print a second line, a link that logs in at the
                           gateway's page there; a browser does not send what
                           stands behind the '#'

list shows each id, its state, the days of its making and of its end; not what
it opens, which only the token itself can tell. "spent": it was used, and
whether its successor arrived is not yet known. Tokens that a chain of uses
brought forth have nothing in common; the gateway's log says who had which.

revoke ends a token, or all; sessions that it began go on (`nbdring detach` ends
those).

Options:
      --all                revoke every token
      --json               list as JSON
      --store FILE         the tokens (default: [gateway] tokens of the
                           configuration file, else /var/lib/nbdring/tokens),
                           mode 0600, in a folder that others cannot write to
      --config FILE        the configuration file (default:
                           /etc/nbdring/nbdring.toml, if it exists)
  -v, --verbose            say more on standard error
      --log-format FORMAT  text or json (default: text)

Run it as the user who runs the gateway. Exit code 4: no such token; 6: others
can get at the store.

Examples:
  sudo nbdring token create --configuration 0 --expires 7d --label alice
  sudo nbdring token create --url https://gateway.example:8443/
  sudo nbdring token revoke --all
)";

}  // namespace nbdring
