#include "kernel/users.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <system_error>

namespace nbdring {
namespace {

namespace fs = std::filesystem;

/// One question about one device; the answers are words.
struct Search {
  const Sysfs& sysfs;
  std::string folder;                  // the device's in sysfs, with the root in front
  std::vector<Sysfs::Part> parts;      // the device itself is the first
  std::vector<std::string> lasting;    // mounts, swap, holders
  std::vector<std::string> processes;  // these may be gone in a moment

  bool is_whole(const Sysfs::Part& part) const { return part.name == parts.front().name; }

  void found(const Sysfs::Part& part, const std::string& words, std::vector<std::string>& list) {
    const std::string text = is_whole(part) ? words : part.name + " " + words;
    if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
  }

  const Sysfs::Part* part_at(const std::string& path) const {
    for (const auto& part : parts) {
      if (path == "/dev/" + part.name) return &part;
    }
    return nullptr;
  }

  const Sysfs::Part* part_numbered(const std::string& number) const {
    for (const auto& part : parts) {
      if (part.number == number) return &part;
    }
    return nullptr;
  }
};

// The kernel writes blanks and the like in its tables as \040.
std::string unescaped(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size();
    const std::string digits = escape ? text.substr(i + 1, 3) : "";
    if (escape && digits.find_first_not_of("01234567") == std::string::npos) {
      plain += static_cast<char>(std::stoi(digits, nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::string link_target(const fs::path& link) {
  std::error_code gone;
  return fs::read_symlink(link, gone).string();
}

void for_each_entry(const fs::path& folder, const std::function<void(const fs::path&)>& visit) {
  std::error_code gone;
  fs::directory_iterator entry(folder, gone);
  while (!gone && entry != fs::directory_iterator()) {
    visit(entry->path());
    entry.increment(gone);
  }
}

// proc(5): ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS TAGS... - TYPE SOURCE OPTIONS. A file
// system that spans devices (btrfs) has a number of its own, therefore the source counts as well.
void search_mounts(Search& search, const fs::path& mountinfo) {
  std::ifstream table(mountinfo);
  std::string row;
  while (std::getline(table, row)) {
    std::istringstream fields(row);
    std::string id, parent, number, root, mount_point, field, type, source;
    fields >> id >> parent >> number >> root >> mount_point;
    while (fields >> field && field != "-") continue;
    fields >> type >> source;
    const Sysfs::Part* part = search.part_numbered(number);
    if (part == nullptr) part = search.part_at(unescaped(source));
    if (part) search.found(*part, "mounted on " + unescaped(mount_point), search.lasting);
  }
}

void search_swap(Search& search) {
  std::ifstream table(search.sysfs.root() + "/proc/swaps");
  std::string row;
  while (std::getline(table, row)) {
    const std::string path = unescaped(row.substr(0, row.find_first_of(" \t")));
    if (const Sysfs::Part* part = search.part_at(path)) search.found(*part, "swap", search.lasting);
  }
}

void search_holders(Search& search) {
  const fs::path whole = search.folder;
  for (const auto& part : search.parts) {
    const fs::path folder = search.is_whole(part) ? whole : whole / part.name;
    for_each_entry(folder / "holders", [&](const fs::path& holder) {
      search.found(part, "held by " + holder.filename().string(), search.lasting);
    });
  }
}

// A loop device keeps its file open in the kernel: neither a holder nor a process.
void search_loops(Search& search) {
  for_each_entry(search.sysfs.root() + "/sys/block", [&](const fs::path& block) {
    const std::string name = block.filename().string();
    if (name.rfind("loop", 0) != 0) return;
    const auto file = search.sysfs.line("/sys/block/" + name + "/loop/backing_file");
    const Sysfs::Part* part = file ? search.part_at(*file) : nullptr;
    if (part) search.found(*part, "behind " + name, search.lasting);
  });
}

// The same device may have been opened by another name (/dev/block/43:0, a node of a container):
// its number tells. A descriptor's file may lie on a file system that hangs: AT_STATX_DONT_SYNC
// asks nobody.
const Sysfs::Part* part_behind(const Search& search, const fs::path& descriptor) {
  const std::string target = link_target(descriptor);
  if (target.empty() || target[0] != '/') return nullptr;
  if (const Sysfs::Part* part = search.part_at(target)) return part;
  struct statx about {};
  if (statx(AT_FDCWD, descriptor.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE, &about) != 0)
    return nullptr;
  if (!S_ISBLK(about.stx_mode)) return nullptr;
  return search.part_numbered(std::to_string(about.stx_rdev_major) + ":" +
                              std::to_string(about.stx_rdev_minor));
}

void search_descriptors(Search& search, const fs::path& process) {
  for_each_entry(process / "fd", [&](const fs::path& descriptor) {
    const Sysfs::Part* part = part_behind(search, descriptor);
    if (part == nullptr) return;
    const std::string id = process.filename().string();
    const std::string name = search.sysfs.line("/proc/" + id + "/comm").value_or("?");
    search.found(*part, "open in process " + id + " (" + name + ")", search.processes);
  });
}

void search_processes(Search& search) {
  std::set<std::string> namespaces;
  for_each_entry(search.sysfs.root() + "/proc", [&](const fs::path& process) {
    const std::string id = process.filename().string();
    if (id.find_first_not_of("0123456789") != std::string::npos) return;
    // A container may hold a mount that the host does not see; the driver does not care whose mount
    // it breaks.
    if (namespaces.insert(link_target(process / "ns/mnt")).second) {
      search_mounts(search, process / "mountinfo");
    }
    search_descriptors(search, process);
  });
}

Search search_for(Search search) {
  const Sysfs& sysfs = search.sysfs;
  search_mounts(search, sysfs.root() + "/proc/self/mountinfo");
  search_swap(search);
  search_holders(search);
  search_loops(search);
  search_processes(search);
  return search;
}

Search search_users(std::uint32_t index, const Sysfs& sysfs) {
  return search_for({sysfs, sysfs.device_folder(index), sysfs.parts(index), {}, {}});
}

// /sys/dev/block/8:1 is a link to the device's folder, where each partition has one of its own.
Search search_users(const std::string& number, const Sysfs& sysfs) {
  const std::string link = "/sys/dev/block/" + number;
  const std::string name = fs::path(link_target(sysfs.root() + link)).filename().string();
  Search search{sysfs, sysfs.root() + link, {{name, number}}, {}, {}};
  for_each_entry(search.folder, [&](const fs::path& entry) {
    if (!fs::exists(entry / "partition")) return;
    const std::string part = entry.filename().string();
    search.parts.push_back({part, sysfs.line(link + "/" + part + "/dev").value_or("")});
  });
  return search_for(std::move(search));
}

std::vector<std::string> all_of(const Search& search) {
  std::vector<std::string> all = search.lasting;
  all.insert(all.end(), search.processes.begin(), search.processes.end());
  return all;
}

template <typename Device>
std::vector<std::string> lasting_users(const Device& device, Deadline deadline,
                                       const Sysfs& sysfs) {
  std::vector<std::string> users;
  wait_until(
      [&] {
        const Search search = search_users(device, sysfs);
        users = all_of(search);
        return users.empty() || !search.lasting.empty();
      },
      deadline);
  return users;
}

}  // namespace

std::vector<std::string> users_of(std::uint32_t index, const Sysfs& sysfs) {
  return all_of(search_users(index, sysfs));
}

std::vector<std::string> lasting_users_of(std::uint32_t index, Deadline deadline,
                                          const Sysfs& sysfs) {
  return lasting_users(index, deadline, sysfs);
}

std::vector<std::string> lasting_users_of_number(const std::string& number, Deadline deadline,
                                                 const Sysfs& sysfs) {
  return lasting_users(number, deadline, sysfs);
}

}  // namespace nbdring
