#pragma once
// The lines that say why a device cannot be detached, or is not quite.

#include <string>
#include <vector>

namespace nbdring {

/// "/dev/nbd0 is in use: mounted on /mnt, open in process 7 (dd); free it, or ..."
inline std::string in_use_text(const std::string& device, const std::vector<std::string>& users) {
  std::string text = device + " is in use: ";
  for (std::size_t i = 0; i < users.size(); ++i) text += (i == 0 ? "" : ", ") + users[i];
  return text + "; free it, or detach it with --force, which fails its I/O";
}

/// Disconnected under somebody's hands: the driver lets go of the device with its last user.
inline std::string held_text(const std::string& device) {
  return device + " is disconnected, but the driver holds it until its last user has closed it";
}

}  // namespace nbdring
