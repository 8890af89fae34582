// What --help prints for the commands that change a device while it is used.

#include "cli/help_texts.hpp"

namespace nbdring {

const std::string_view resize_help =
    R"(Change the size of a device while it is used.

Usage: nbdring resize DEVICE|ID|NAME [SIZE] [OPTION...]

  SIZE                     in bytes, or with K, M, G, T, P (powers of 1024); a
                           multiple of the device's block size (default: what
                           the backend has now, e.g. after `truncate` of a
                           file, or when a server's export has grown)

A plain file grows with SIZE. I/O waits for a moment and does not fail. What
lies on the device is resized afterwards with its own tool: resize2fs,
xfs_growfs, pvresize, or a partition with growpart. Needs root.

Options:
      --force              also make it smaller: what lies behind the new end
                           cannot be reached any more; it is not erased. Refused
                           where a mount, swap or another device reaches there
      --config FILE        names for backends, by which to find a device
                           (default: /etc/nbdring/nbdring.toml, if it exists)
  -v, --verbose            say more on standard error
      --log-format FORMAT  text or json (default: text)

Examples:
  nbdring resize /dev/nbd0
  nbdring resize srv 200G && resize2fs /dev/nbd0
)";

const std::string_view upgrade_help =
    R"(Hand running devices to the new program, without an I/O error and without a
timer of the driver: I/O waits for a moment. How long is printed.

Usage: nbdring upgrade DEVICE|ID|NAME [OPTION...]
       nbdring upgrade --all [OPTION...]

Where the new program cannot serve a device the old one goes on, and the reason
is printed. Needs root.

Options:
      --all                every device of `nbdring list`; goes on when one
                           fails, and reports each
      --program PATH       the new program (default: the one that is called)
      --config FILE        names for backends, by which to find a device
                           (default: /etc/nbdring/nbdring.toml, if it exists)
  -v, --verbose            say more on standard error
      --log-format FORMAT  text or json (default: text)

Examples:
  nbdring upgrade --all
  nbdring upgrade /dev/nbd0 --program /opt/nbdring-next/nbdring
)";

}  // namespace nbdring
