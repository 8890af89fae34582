#include "cli/tab.hpp"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "cli/backend_names.hpp"
#include "cli/nbd_client_device.hpp"
#include "cli/tab_line.hpp"
#include "cli/trusted_file.hpp"
#include "cli/values.hpp"
#include "client/protocol/backend_spec.hpp"
#include "client/runtime/error.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

const std::set<std::string, std::less<>> attach_flags{"read-only", "strict"};
// What the entry itself says, what the unit says, and what makes no sense at boot.
const std::set<std::string, std::less<>> not_of_a_tab{
    "name", "foreground", "from-tab", "tab", "wait", "help", "verbose", "log-format", "config"};

bool is_over_network(const std::string& backend) {
  const BackendSpec spec = parse_backend_spec(backend);
  const auto* remote = std::get_if<UriSpec>(&spec.form);
  if (remote == nullptr) return false;
  const std::string& scheme = remote->uri.scheme;
  return scheme == "nbd" || scheme == "nbds" || scheme == "ws" || scheme == "wss" ||
         scheme.ends_with("+ssh");
}

/// What concerns the boot, in both forms. False: it is none of that.
bool take_boot_option(const TabOption& option, TabEntry& entry) {
  const std::string& name = option.name;
  if (name == "x-systemd.device-timeout") {
    entry.device_timeout =
        std::chrono::seconds(parse_number(name, option.value.value_or(""), 0, seconds_max));
    return true;
  }
  const bool ignored = name == "defaults" || name == "auto" || name == "rw" ||
                       name.starts_with("x-") || (name.starts_with("_") && name != "_netdev");
  if (ignored) return true;
  if (option.value) return false;
  if (name == "noauto") return !(entry.at_boot = false);
  if (name == "nofail") return entry.nofail = true;
  if (name == "_netdev") return entry.needs_network = true;
  if (name == "initramfs") return entry.in_initramfs = true;
  return false;
}

class OwnForm {
 public:
  explicit OwnForm(const TabFields& fields) : fields_(fields) {}

  TabEntry read() {
    entry_.name = parse_name("NAME", fields_.words[0]);
    const std::string& backend = fields_.words[1];
    entry_.needs_network = is_over_network(backend);
    refuse_relative(backend);
    for (const TabOption& option : fields_.options) take(option);
    words_.insert(words_.end(), {"--name=" + entry_.name, "--", backend});
    if (!device_.empty()) words_.push_back(device_);
    entry_.attach = std::get<AttachCommand>(parse_command_line(words_).command);
    return std::move(entry_);
  }

 private:
  // Units have no working directory that anybody would think of.
  static void refuse_relative(const std::string& backend) {
    const BackendSpec spec = parse_backend_spec(backend);
    const auto* file = std::get_if<FileSpec>(&spec.form);
    if (file == nullptr || file->path.starts_with('/') || is_backend_name(backend)) return;
    throw Failure(FailureKind::usage, "'" + backend + "' is a path that does not begin with '/'");
  }

  void take(const TabOption& option) {
    if (take_boot_option(option, entry_)) return;
    if (option.name == "device") {
      device_ = option.value.value_or("");
      if (!device_index(device_)) {
        throw Failure(FailureKind::usage, "device: '" + device_ + "' is not a /dev/nbdN");
      }
      return;
    }
    const std::string name = option.name == "ro" ? "read-only" : option.name;
    static const std::vector<std::string> known = options_of("attach");
    if (not_of_a_tab.contains(name) || std::ranges::find(known, "--" + name) == known.end()) {
      throw Failure(FailureKind::usage,
                    "'" + option.name + "' is not an option here; see `nbdring attach --help`");
    }
    const bool is_flag = attach_flags.contains(name);
    if (is_flag == option.value.has_value()) {
      throw Failure(FailureKind::usage,
                    "'" + option.name + "' " + (is_flag ? "takes no value" : "needs a value"));
    }
    words_.push_back("--" + name + (is_flag ? "" : "=" + *option.value));
  }

  const TabFields& fields_;
  TabEntry entry_;
  std::vector<std::string> words_{"nbdring", "attach"};
  std::string device_;
};

/// nbdtab(5).
class NbdtabForm {
 public:
  NbdtabForm(const TabFields& fields, std::vector<std::string>& warnings)
      : fields_(fields), warnings_(warnings) {}

  TabEntry read() {
    device_.index = device_index(fields_.words[0]);
    entry_.name = device_name(*device_.index);
    device_.host = fields_.words[1];
    device_.export_name = fields_.words[2];
    for (const TabOption& option : fields_.options) take(option);
    entry_.needs_network |= !device_.is_unix;
    entry_.attach = attach_command(device_);
    return std::move(entry_);
  }

 private:
  void take(const TabOption& option) {
    if (take_boot_option(option, entry_) || take_meaningless(option.name)) return;
    const std::string& name = option.name;
    const std::string value = option.value.value_or("");
    if (name == "unix") {
      device_.is_unix = true;
    } else if (name == "ro" || name == "readonly") {
      device_.read_only = true;
    } else if (name == "port") {
      device_.port = static_cast<std::uint16_t>(parse_number(name, value, 1, 65535));
    } else if (name == "bs") {
      device_.block_size = parse_block_size(name, value);
    } else if (name == "conns") {
      device_.connections = parse_number(name, value, 1, connections_max);
    } else if (name == "timeout") {
      device_.timeout = std::chrono::seconds(parse_number(name, value, 1, seconds_max));
    } else if (std::string* file = text_option(name)) {
      if (value.empty()) throw Failure(FailureKind::usage, "'" + name + "' needs a value");
      *file = value;
    } else {
      warnings_.push_back("'" + name + "' is not known and is ignored");
    }
  }

  std::string* text_option(const std::string& name) {
    if (name == "certfile") return &device_.certfile;
    if (name == "keyfile") return &device_.keyfile;
    if (name == "cacertfile") return &device_.cacertfile;
    if (name == "tlshostname") return &device_.tls_hostname;
    return nullptr;
  }

  // Every device persists, is fit for swap, and the server is spoken to in the way that it has.
  static bool take_meaningless(const std::string& name) {
    return name == "persist" || name == "swap" || name == "sdp" || name == "no_optgo";
  }

  const TabFields& fields_;
  std::vector<std::string>& warnings_;
  TabEntry entry_;
  NbdClientDevice device_;
};

TabEntry read_entry(const TabFields& fields, std::vector<std::string>& warnings) {
  const bool is_nbdtab = device_index(fields.words[0]).has_value();
  const std::size_t words = is_nbdtab ? 3 : 2;
  if (fields.words.size() < words) {
    throw Failure(FailureKind::usage, is_nbdtab ? "not DEVICE HOST EXPORT [OPTION,...]"
                                                : "not NAME BACKEND [OPTION,...]");
  }
  return is_nbdtab ? NbdtabForm(fields, warnings).read() : OwnForm(fields).read();
}

}  // namespace

const TabEntry* Tab::find(std::string_view name) const {
  if (name.starts_with("/dev/")) name.remove_prefix(5);
  const auto found = std::ranges::find(entries, name, &TabEntry::name);
  return found == entries.end() ? nullptr : &*found;
}

Tab parse_tab(std::string_view text, const std::string& file) {
  Tab tab;
  TabLines lines(text);
  while (lines.next()) {
    const std::string place = file + ":" + std::to_string(lines.number()) + ": ";
    std::vector<std::string> warnings;
    try {
      const TabFields fields = split_tab_line(lines.line());
      if (fields.words.empty()) continue;
      TabEntry entry = read_entry(fields, warnings);
      entry.line = lines.number();
      if (const TabEntry* former = tab.find(entry.name)) {
        throw Failure(FailureKind::usage, "'" + entry.name + "' is in line " +
                                              std::to_string(former->line) + " already");
      }
      tab.entries.push_back(std::move(entry));
    } catch (const Failure& failure) {
      throw Failure(failure.kind(), place + failure.what());
    }
    for (const std::string& warning : warnings) tab.warnings.push_back(place + warning);
  }
  return tab;
}

Tab read_tab(const std::string& path) {
  const auto text = read_trusted_file(path, ::geteuid(), "the tab");
  if (!text) throw Failure(FailureKind::not_found, "the tab " + path + " does not exist");
  return parse_tab(*text, path);
}

AttachCommand from_tab(const AttachCommand& command) {
  if (command.from_tab.empty()) return command;
  const std::string path = command.tab.empty() ? std::string(tab_path_default) : command.tab;
  const Tab tab = read_tab(path);
  const TabEntry* const entry = tab.find(command.from_tab);
  if (entry == nullptr) {
    throw Failure(FailureKind::not_found, "'" + command.from_tab + "' is not in " + path);
  }
  AttachCommand result = entry->attach;
  result.foreground = command.foreground;
  result.root_device = command.root_device;
  result.wait = command.wait;
  return result;
}

}  // namespace nbdring
