#pragma once
// The table of devices that this machine has: /etc/nbdring/tab, an entry per line, in one of two
// forms. The generator makes units of it; `attach --from-tab NAME` attaches an entry.
//
//     # NAME  BACKEND                        [OPTION,OPTION...]
//     data    /srv/data.img                  connections=4
//     mail    nbds://alice@host/mail         tls-psk-file=/etc/nbdring/mail.psk,nofail
//     # nbdtab(5)'s form: DEVICE  HOST  EXPORT  [OPTION,OPTION...]
//     nbd3    server                disk3    port=10810,persist
//
// A first field that reads like a device (nbd3, /dev/nbd3) begins nbdtab's form; no NAME can read
// like one. Fields are separated by spaces and tabs; one that begins with '#' ends the line. A
// space, a tab, a comma, a '#' or a backslash inside is written as in fstab: \040 \011 \054 \043
// \134.
//
// Options of our form are those of `nbdring attach` without their dashes, and
//     device=/dev/nbdN  at this device and no other      ro, rw, defaults, auto   as in fstab
//     noauto            not at boot                      _netdev   needs the network
//     nofail            the boot does not wait for it    initramfs attached before the root
//     x-systemd.device-timeout=S                         file system is there
// Names that begin with "x-" or "_" are for others, and ignored.
//
// Pure functions. The first mistake is a Failure (usage) "FILE:LINE: what".

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/options.hpp"

namespace nbdring {

constexpr std::string_view tab_path_default = "/etc/nbdring/tab";

struct TabEntry {
  std::string name;  // the unit's instance: NAME, or nbdN in nbdtab's form
  unsigned line = 0;
  AttachCommand attach;  // as the command line would have given it
  bool at_boot = true;
  bool nofail = false;
  bool needs_network = false;  // the backend's form says so, or _netdev
  bool in_initramfs = false;
  std::optional<std::chrono::seconds> device_timeout;  // 0: for ever
};

struct Tab {
  std::vector<TabEntry> entries;      // in their order
  std::vector<std::string> warnings;  // "FILE:LINE: what", of what means nothing here

  /// By name; "/dev/nbd3" is "nbd3". Null: not there.
  const TabEntry* find(std::string_view name) const;
};

Tab parse_tab(std::string_view text, const std::string& file);

/// What `attach --from-tab` is about: the entry, with what stood beside it on the command line.
/// Without --from-tab the command itself. Throws as read_tab(), and Failure (not_found).
AttachCommand from_tab(const AttachCommand& command);

/// Of a file as read_trusted_file() wants it. Throws as both, and Failure (not_found) where there
/// is none.
Tab read_tab(const std::string& path);

}  // namespace nbdring
