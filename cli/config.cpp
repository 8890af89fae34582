#include "cli/config.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "cli/options.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

constexpr std::size_t bytes_max = 1024 * 1024;

/// Takes a table apart; what no part has asked for is unknown.
class Section {
 public:
  Section(Config& config, const std::string& file) : config_(config), file_(file) {}

  void read(const toml::table& root) {
    for (const auto& [key, value] : root) {
      if (key == "aliases") {
        for (const auto& [name, target] : table(key, value)) add_alias(name, target);
      } else if (key == "attach") {
        for (const auto& [name, number] : table(key, value)) add_attach_default(name, number);
      } else if (key == "tls") {
        for (const auto& [name, text] : table(key, value)) add_tls_default(name, text);
      } else {
        unknown(key, std::string(key.str()));
      }
    }
  }

 private:
  std::string place(const toml::source_region& source) const {
    return file_ + ":" + std::to_string(source.begin.line);
  }

  // Quoted keys can have line breaks; a message has one line.
  static std::string shown(std::string_view text) {
    std::string line(text);
    std::replace_if(
        line.begin(), line.end(),
        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
    return line;
  }

  [[noreturn]] void fail(const toml::key& key, const std::string& problem) const {
    throw Failure(FailureKind::usage,
                  place(key.source()) + ": '" + shown(key.str()) + "' " + problem);
  }

  void unknown(const toml::key& key, const std::string& name) {
    config_.warnings.push_back(place(key.source()) + ": '" + name +
                               "' is not known and is ignored");
  }

  const toml::table& table(const toml::key& key, const toml::node& value) const {
    if (const toml::table* found = value.as_table()) return *found;
    fail(key, "is not a section; write [" + std::string(key.str()) + "]");
  }

  void add_alias(const toml::key& name, const toml::node& target) {
    const auto text = target.value_exact<std::string>();
    if (!is_backend_name(name.str())) {
      fail(name,
           "cannot be a name: it has a '/', ':', ';' or white space, or begins with '.' or '-'");
    }
    if (!text || text->empty()) fail(name, "is not a backend in quotes; write NAME = \"URI\"");
    config_.aliases.emplace(name.str(), Alias{*text, place(name.source())});
  }

  void add_attach_default(const toml::key& name, const toml::node& value) {
    AttachDefaults& attach = config_.attach;
    if (name == "connections") {
      attach.connections = static_cast<unsigned>(number(name, value, 1, connections_max));
    } else if (name == "timeout") {
      attach.timeout = std::chrono::seconds(number(name, value, 1, seconds_max));
    } else if (name == "recovery-window") {
      attach.recovery_window = std::chrono::seconds(number(name, value, 0, seconds_max));
    } else {
      unknown(name, "attach." + std::string(name.str()));
    }
  }

  void add_tls_default(const toml::key& name, const toml::node& value) {
    TlsDefaults& tls = config_.tls;
    if (name == "psk-file") {
      tls.psk_file = absolute_path(name, value);
    } else if (name == "certificates") {
      tls.certificates = absolute_path(name, value);
    } else if (name == "priority") {
      tls.priority = value.value_exact<std::string>();
      if (tls.priority.value_or("").empty()) fail(name, "is not a text in quotes");
    } else {
      unknown(name, "tls." + std::string(name.str()));
    }
    if (tls.psk_file && tls.certificates) {
      fail(name, "is the second kind of keys; leave psk-file or certificates out");
    }
  }

  std::string absolute_path(const toml::key& key, const toml::node& value) const {
    auto path = value.value_exact<std::string>();
    if (!path || !path->starts_with('/')) fail(key, "is not an absolute path in quotes");
    return std::move(*path);
  }

  std::int64_t number(const toml::key& key, const toml::node& value, std::int64_t least,
                      std::uint64_t most) const {
    const auto found = value.value_exact<std::int64_t>();
    if (found && *found >= least && *found <= static_cast<std::int64_t>(most)) return *found;
    fail(key,
         "is not a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }

  Config& config_;
  const std::string& file_;
};

void refuse_unsafe(const struct stat& file, const std::string& path, uid_t user) {
  if (!S_ISREG(file.st_mode)) {
    throw Failure(FailureKind::failed, "the configuration " + path + " is not a regular file");
  }
  if (user == 0 && (file.st_uid != 0 || (file.st_mode & (S_IWGRP | S_IWOTH)) != 0)) {
    throw Failure(FailureKind::failed, "the configuration " + path +
                                           " can be written by others than root, who would then "
                                           "decide what root runs; chown root, chmod go-w");
  }
}

std::string read_all(int fd, const std::string& path) {
  std::string text;
  std::array<char, 4096> part{};
  while (true) {
    const ssize_t bytes = ::read(fd, part.data(), part.size());
    if (bytes < 0) fail_errno(FailureKind::failed, "cannot read the configuration " + path);
    if (bytes == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(bytes));
    if (text.size() > bytes_max) {
      throw Failure(FailureKind::failed, "the configuration " + path + " is larger than 1 MiB");
    }
  }
}

}  // namespace

Config parse_config(std::string_view text, const std::string& file) {
  Config config;
  try {
    Section(config, file).read(toml::parse(text));
  } catch (const toml::parse_error& error) {
    throw Failure(FailureKind::usage, file + ":" + std::to_string(error.source().begin.line) +
                                          ": " + std::string(error.description()));
  }
  return config;
}

std::optional<Config> read_config(const std::string& path, uid_t user) {
  if (path == "/dev/null") return Config{};
  // Not to wait for the writer of a pipe; it is refused.
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.is_open() && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  struct stat file {};
  if (!fd.is_open() || ::fstat(fd.get(), &file) != 0) {
    fail_errno(FailureKind::failed, "cannot read the configuration " + path);
  }
  refuse_unsafe(file, path, user);
  return parse_config(read_all(fd.get(), path), path);
}

}  // namespace nbdring
