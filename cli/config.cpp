#include "cli/config.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "cli/config_reader.hpp"
#include "cli/options.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

constexpr std::size_t bytes_max = 1024 * 1024;

/// Takes a table apart; what no part has asked for is unknown.
class Section {
 public:
  Section(Config& config, const std::string& file)
      : config_(config), reader_(file, config.warnings) {}

  void read(const toml::table& root) {
    for (const auto& [key, value] : root) {
      if (key == "aliases") {
        for (const auto& [name, target] : reader_.table(key, value)) add_alias(name, target);
      } else if (key == "attach") {
        for (const auto& [name, number] : reader_.table(key, value))
          add_attach_default(name, number);
      } else if (key == "tls") {
        for (const auto& [name, text] : reader_.table(key, value)) add_tls_default(name, text);
      } else if (key == "gateway") {
        config_.gateway = read_gateway(reader_.table(key, value), reader_);
      } else {
        reader_.unknown(key, std::string(key.str()));
      }
    }
  }

 private:
  void add_alias(const toml::key& name, const toml::node& target) {
    const auto text = target.value_exact<std::string>();
    if (!is_backend_name(name.str())) {
      reader_.fail(
          name,
          "cannot be a name: it has a '/', ':', ';' or white space, or begins with '.' or '-'");
    }
    if (!text || text->empty())
      reader_.fail(name, "is not a backend in quotes; write NAME = \"URI\"");
    config_.aliases.emplace(name.str(), Alias{*text, reader_.place(name.source())});
  }

  void add_attach_default(const toml::key& name, const toml::node& value) {
    AttachDefaults& attach = config_.attach;
    if (name == "connections") {
      attach.connections = static_cast<unsigned>(reader_.number(name, value, 1, connections_max));
    } else if (name == "timeout") {
      attach.timeout = std::chrono::seconds(reader_.number(name, value, 1, seconds_max));
    } else if (name == "recovery-window") {
      attach.recovery_window = std::chrono::seconds(reader_.number(name, value, 0, seconds_max));
    } else {
      reader_.unknown(name, "attach." + std::string(name.str()));
    }
  }

  void add_tls_default(const toml::key& name, const toml::node& value) {
    TlsDefaults& tls = config_.tls;
    if (name == "psk-file") {
      tls.psk_file = reader_.absolute_path(name, value);
    } else if (name == "certificates") {
      tls.certificates = reader_.absolute_path(name, value);
    } else if (name == "priority") {
      tls.priority = value.value_exact<std::string>();
      if (tls.priority.value_or("").empty()) reader_.fail(name, "is not a text in quotes");
    } else {
      reader_.unknown(name, "tls." + std::string(name.str()));
    }
    if (tls.psk_file && tls.certificates) {
      reader_.fail(name, "is the second kind of keys; leave psk-file or certificates out");
    }
  }

  Config& config_;
  ConfigReader reader_;
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
