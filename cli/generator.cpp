#include "cli/generator.hpp"

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "client/protocol/backend_spec.hpp"
#include "client/runtime/error.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

constexpr unsigned partitions = 15;  // that a wait for one starts the service
// What the links point to matters by its name only.
constexpr std::string_view template_path = "/usr/lib/systemd/system/nbdring@.service";

using Files = std::map<std::string, std::string>;

// In a unit a '%' begins a specifier, a space a second path, and quotes hold both off.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '%') result += '%';
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + "\"";
}

std::string unit_of(const TabEntry& entry) { return "nbdring@" + entry.name + ".service"; }

std::string time_to_start(const TabEntry& entry) {
  if (entry.device_timeout) {
    const auto seconds = entry.device_timeout->count();
    return seconds == 0 ? "infinity" : std::to_string(seconds);
  }
  return entry.nofail ? "infinity" : "";
}

std::string order_of(const TabEntry& entry) {
  std::string lines;
  if (entry.needs_network) {
    lines +=
        "Wants=network-online.target\n"
        "After=network-online.target network.target nss-lookup.target\n"
        "After=systemd-networkd.service NetworkManager.service networking.service\n";
    if (!entry.nofail) lines += "Wants=remote-fs-pre.target\nBefore=remote-fs-pre.target\n";
  } else if (!entry.nofail) {
    lines += "Before=local-fs.target\n";
  }
  const BackendSpec backend = parse_backend_spec(entry.attach.backend);
  const auto* file = std::get_if<FileSpec>(&backend.form);
  const bool is_path = file != nullptr && file->path.starts_with('/');
  if (is_path) lines += "RequiresMountsFor=" + quoted(file->path) + "\n";
  return lines;
}

std::string service_lines(const TabEntry& entry, const std::string& origin) {
  std::string lines = origin + "[Unit]\n" + order_of(entry);
  const std::string time = time_to_start(entry);
  if (!time.empty()) lines += "\n[Service]\nTimeoutStartSec=" + time + "\n";
  return lines;
}

std::string device_lines(const TabEntry& entry, const std::string& origin) {
  const std::string unit = unit_of(entry);
  std::string lines = origin + "[Unit]\nWants=" + unit + "\nAfter=" + unit + "\n";
  const std::string time = time_to_start(entry);
  if (!time.empty()) lines += "JobRunningTimeoutSec=" + time + "\n";
  return lines;
}

void add_device(const TabEntry& entry, const std::string& path, const std::string& origin,
                Files& files) {
  files[escaped_path(path) + ".device.d/50-nbdring.conf"] = device_lines(entry, origin);
}

void add_devices(const TabEntry& entry, const std::string& origin, Files& files) {
  if (!entry.attach.name.empty()) {
    const std::string path = "/dev/disk/by-nbd/" + entry.attach.name;
    add_device(entry, path, origin, files);
    for (unsigned i = 1; i <= partitions; ++i) {
      add_device(entry, path + "-part" + std::to_string(i), origin, files);
    }
  }
  if (entry.attach.index) {
    const std::string path = "/dev/" + device_name(*entry.attach.index);
    add_device(entry, path, origin, files);
    for (unsigned i = 1; i <= partitions; ++i) {
      add_device(entry, path + "p" + std::to_string(i), origin, files);
    }
  }
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  if (text.starts_with('/')) {
    std::error_code exists;
    std::filesystem::remove(path, exists);
    std::filesystem::create_symlink(text, path);
    return;
  }
  std::ofstream file(path);
  file << text;
  if (!file.flush()) fail_errno(FailureKind::failed, "cannot write " + path.string());
}

}  // namespace

std::string escaped_path(const std::string& path) {
  ENSURE(path.size() > 1 && path.front() == '/');
  std::string result;
  for (const char c : path.substr(1)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == ':' || c == '_' || (c == '.' && !result.empty());
    if (c == '/') {
      result += '-';
    } else if (plain) {
      result += c;
    } else {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\x%02x", static_cast<unsigned char>(c));
      result += escape.data();
    }
  }
  return result;
}

std::map<std::string, std::string> units_of(const Tab& tab, const std::string& tab_path) {
  Files files;
  for (const TabEntry& entry : tab.entries) {
    if (entry.in_initramfs) continue;
    const std::string origin =
        "# By nbdring-generator, of " + tab_path + ":" + std::to_string(entry.line) + "\n";
    files[unit_of(entry) + ".d/50-tab.conf"] = service_lines(entry, origin);
    add_devices(entry, origin, files);
    if (!entry.at_boot) continue;
    const std::string target = entry.needs_network ? "remote-fs" : "local-fs";
    files[target + ".target.wants/" + unit_of(entry)] = template_path;
  }
  return files;
}

void generate_units(const Tab& tab, const std::string& tab_path, const std::string& folder) {
  try {
    for (const auto& [name, text] : units_of(tab, tab_path)) {
      write_file(std::filesystem::path(folder) / name, text);
    }
  } catch (const std::filesystem::filesystem_error& error) {
    throw Failure(FailureKind::failed, std::string("cannot write units: ") + error.what());
  }
}

}  // namespace nbdring
