#include "kernel/sysfs.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <sstream>
#include <string_view>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t sysfs_sector_bytes =
    512;  // the unit of /sys/block/*/size, whatever the device's block size
constexpr std::string_view name_prefix = "nbd";

template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole ? std::optional<Number>(number) : std::nullopt;
}

int write_file(const std::string& path, const std::string& value) {
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.is_open()) return errno;
  return ::write(file.get(), value.data(), value.size()) < 0 ? errno : 0;
}

}  // namespace

std::string device_name(std::uint32_t index) {
  return std::string(name_prefix) + std::to_string(index);
}

std::optional<std::uint32_t> device_index(const std::string& text) {
  constexpr std::string_view folder = "/dev/";
  std::string_view rest = text;
  const bool is_path = rest.substr(0, folder.size()) == folder;
  if (is_path) rest.remove_prefix(folder.size());
  const bool is_name = rest.substr(0, name_prefix.size()) == name_prefix;
  if (is_name) rest.remove_prefix(name_prefix.size());
  if (is_path && !is_name) return std::nullopt;
  const auto index = number_in<std::uint32_t>(rest);
  // "nbd07" is nobody's name: the way back must give the same.
  if (!index || std::to_string(*index) != rest) return std::nullopt;
  return index;
}

std::optional<std::string> Sysfs::line(const std::string& path) const {
  const FileDescriptor file(::open((root_ + path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return std::nullopt;
  std::array<char, 4096> text{};
  const ssize_t length = ::read(file.get(), text.data(), text.size());
  if (length < 0) return std::nullopt;
  const std::string all(text.data(), static_cast<std::size_t>(length));
  return all.substr(0, all.find('\n'));
}

std::string Sysfs::device_folder(std::uint32_t index) const {
  return root_ + "/sys/block/" + device_name(index);
}

bool Sysfs::exists(std::uint32_t index) const {
  return ::access(device_folder(index).c_str(), F_OK) == 0;
}

bool Sysfs::is_attached(std::uint32_t index) const {
  return ::access((device_folder(index) + "/pid").c_str(), F_OK) == 0;
}

std::optional<DriverDevice> Sysfs::device(std::uint32_t index) const {
  const std::string folder = "/sys/block/" + device_name(index);
  const auto number = line(folder + "/dev");
  if (!number) return std::nullopt;
  DriverDevice device;
  device.index = index;
  device.number = *number;
  device.size = number_in<std::uint64_t>(line(folder + "/size").value_or("")).value_or(0);
  device.size *= sysfs_sector_bytes;
  device.read_only = line(folder + "/ro") == "1";
  if (const auto thread = line(folder + "/pid")) {
    device.attached = true;
    device.thread = number_in<int>(*thread).value_or(0);
    device.backend = line(folder + "/backend").value_or("");
  }
  return device;
}

std::uint64_t Sysfs::in_flight(std::uint32_t index) const {
  std::istringstream numbers(line("/sys/block/" + device_name(index) + "/inflight").value_or(""));
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  numbers >> reads >> writes;
  return reads + writes;
}

std::vector<std::uint32_t> Sysfs::device_indexes() const {
  std::vector<std::uint32_t> indexes;
  std::error_code no_folder;  // a machine without block devices has none of ours
  for (const auto& entry : std::filesystem::directory_iterator(root_ + "/sys/block", no_folder)) {
    const std::string name = entry.path().filename().string();
    const auto index = device_index(name);
    if (index && name == device_name(*index)) indexes.push_back(*index);
  }
  std::sort(indexes.begin(), indexes.end());
  return indexes;
}

std::vector<std::uint32_t> Sysfs::attached_indexes() const {
  std::vector<std::uint32_t> indexes = device_indexes();
  std::erase_if(indexes, [this](std::uint32_t index) { return !is_attached(index); });
  return indexes;
}

std::vector<Sysfs::Part> Sysfs::parts(std::uint32_t index) const {
  const std::string name = device_name(index);
  const std::string folder = "/sys/block/" + name;
  std::vector<Part> parts{{name, line(folder + "/dev").value_or("")}};
  std::error_code no_folder;
  for (const auto& entry : std::filesystem::directory_iterator(root_ + folder, no_folder)) {
    const std::string part = entry.path().filename().string();
    if (part.rfind(name + "p", 0) != 0) continue;
    parts.push_back({part, line(folder + "/" + part + "/dev").value_or("")});
  }
  std::sort(parts.begin() + 1, parts.end(),
            [](const Part& a, const Part& b) { return a.name < b.name; });
  return parts;
}

std::optional<std::string> Sysfs::queue_value(std::uint32_t index, const std::string& name) const {
  const auto value = line("/sys/block/" + device_name(index) + "/queue/" + name);
  if (!value) return std::nullopt;
  const std::size_t open = value->find('[');
  const std::size_t close = value->find(']');
  if (open == std::string::npos || close == std::string::npos || close < open) return value;
  return value->substr(open + 1, close - open - 1);
}

int Sysfs::set_queue_value(std::uint32_t index, const std::string& name,
                           const std::string& value) const {
  return write_file(device_folder(index) + "/queue/" + name, value);
}

void Sysfs::announce_change(std::uint32_t index) const {
  const std::string folder = device_folder(index);
  [[maybe_unused]] int gone = write_file(folder + "/uevent", "change");
  // The names of the partitions hang on the device's.
  const std::vector<Part> all = parts(index);
  for (auto part = all.begin() + 1; part != all.end(); ++part) {
    gone = write_file(folder + "/" + part->name + "/uevent", "change");
  }
}

std::optional<std::uint64_t> Sysfs::module_parameter(const std::string& name) const {
  return number_in<std::uint64_t>(line("/sys/module/nbd/parameters/" + name).value_or(""));
}

}  // namespace nbdring
