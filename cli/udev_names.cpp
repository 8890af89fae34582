#include "cli/udev_names.hpp"

#include <array>
#include <cstdio>

namespace nbdring {
namespace {

// As udev encodes a label: what could be taken for a path, or end a line, is \xHH.
std::string encoded(const std::string& text) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789#+-.:=@_";
  std::string result;
  for (const char c : text) {
    if (plain.find(c) != std::string_view::npos) {
      result += c;
      continue;
    }
    std::array<char, 8> escape{};
    std::snprintf(escape.data(), escape.size(), "\\x%02x", static_cast<unsigned char>(c));
    result += escape.data();
  }
  return result;
}

}  // namespace

std::string udev_names(const RunFolder& folder, std::uint32_t index, const Sysfs& sysfs) {
  const auto known = folder.find(device_name(index), sysfs);
  if (!known) return "";
  const DeviceRecord& record = known->record;
  std::string lines;
  if (!record.name.empty()) lines += "NBDRING_NAME=" + record.name + "\n";
  return lines + "NBDRING_ID_ENC=" + encoded(record.id) + "\n";
}

}  // namespace nbdring
