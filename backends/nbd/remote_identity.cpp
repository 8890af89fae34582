#include "backends/nbd/remote_identity.hpp"

#include <array>
#include <utility>

namespace nbdring {
namespace {

using FlagName = std::pair<std::uint16_t, const char*>;
constexpr std::array<FlagName, 4> promised{{{nbd::flag_send_flush, "FLUSH"},
                                            {nbd::flag_send_fua, "FUA"},
                                            {nbd::flag_send_trim, "TRIM"},
                                            {nbd::flag_send_write_zeroes, "WRITE_ZEROES"}}};

std::string from_to(const std::string& what, const std::string& before, const std::string& now) {
  return "another disk is there: " + what + " " + now + " instead of " + before;
}

// Texts are the server's own: a name that appears where there was none proves nothing.
bool differs(const std::string& before, const std::string& now) {
  return !before.empty() && !now.empty() && before != now;
}

}  // namespace

std::string difference(const Export& attached, const Export& offered) {
  if (offered.size < attached.size) {
    return from_to("it has", std::to_string(attached.size) + " bytes",
                   std::to_string(offered.size));
  }
  if (offered.is_read_only() && !attached.is_read_only()) return "it is read-only now";
  if (offered.block_size.minimum > attached.block_size.minimum) {
    return from_to("its smallest block is", std::to_string(attached.block_size.minimum),
                   std::to_string(offered.block_size.minimum));
  }
  for (const auto& [flag, name] : promised) {
    if (attached.has(flag) && !offered.has(flag)) {
      return std::string("it has no ") + name + " any more";
    }
  }
  if (differs(attached.name, offered.name)) return from_to("it is", attached.name, offered.name);
  if (differs(attached.description, offered.description)) {
    return from_to("it is", attached.description, offered.description);
  }
  return {};
}

}  // namespace nbdring
