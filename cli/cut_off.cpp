#include "cli/cut_off.hpp"

#include <sys/statfs.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "kernel/users.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t sector_bytes = 512;

std::optional<std::uint64_t> number_in(const Sysfs& sysfs, const std::string& path) {
  const auto text = sysfs.line(path);
  std::uint64_t number = 0;
  if (!text) return std::nullopt;
  const auto [stop, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

bool reaches_behind(const std::string& partition, std::uint32_t index, std::uint64_t size,
                    const Sysfs& sysfs) {
  const std::string folder = "/sys/block/" + device_name(index) + "/" + partition;
  const auto start = number_in(sysfs, folder + "/start");
  const auto sectors = number_in(sysfs, folder + "/size");
  if (!start || !sectors) return true;
  return (*start + *sectors) * sector_bytes > size;
}

// Asks the kernel for what it knows, not the device. A mount of another namespace cannot be asked.
bool file_system_fits(const std::string& folder, std::uint64_t size) {
  struct statfs about {};
  if (::statfs(folder.c_str(), &about) != 0 || about.f_bsize <= 0) return false;
  return about.f_blocks * static_cast<std::uint64_t>(about.f_bsize) <= size;
}

bool whole_device_user_fits(const std::string& user, std::uint64_t size) {
  constexpr std::string_view mounted = "mounted on ";
  if (user.starts_with("open in process")) return true;
  return user.starts_with(mounted) && file_system_fits(user.substr(mounted.size()), size);
}

}  // namespace

std::vector<std::string> users_behind(std::uint32_t index, std::uint64_t size, const Sysfs& sysfs) {
  const std::vector<std::string> partitions = partitions_behind(index, size, sysfs);
  const std::string partition_prefix = device_name(index) + "p";
  std::vector<std::string> behind;
  for (const std::string& user : users_of(index, sysfs)) {
    const std::string first_word = user.substr(0, user.find(' '));
    const bool of_partition = first_word.starts_with(partition_prefix);
    const bool fits = of_partition
                          ? std::count(partitions.begin(), partitions.end(), first_word) == 0
                          : whole_device_user_fits(user, size);
    if (!fits) behind.push_back(user);
  }
  return behind;
}

std::vector<std::string> partitions_behind(std::uint32_t index, std::uint64_t size,
                                           const Sysfs& sysfs) {
  std::vector<std::string> behind;
  for (const auto& part : sysfs.parts(index)) {
    if (part.name == device_name(index)) continue;
    if (reaches_behind(part.name, index, size, sysfs)) behind.push_back(part.name);
  }
  return behind;
}

}  // namespace nbdring
