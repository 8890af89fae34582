#pragma once
// The command line as plain structs: everything that parse_command_line() returns has been checked
// and is within its range. A wrong one is a Failure (usage, exit code 2) that says which option,
// which value and what to do.
//
// options.cpp is the only user of CLI11. The texts of --help are in help*.cpp, written by hand; a
// test holds that they name every option that is accepted here, and no other.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "backends/layers/layer.hpp"
#include "backends/nbd/tls_settings.hpp"
#include "cli/bench/settings.hpp"
#include "cli/nbd_client_command.hpp"
#include "cli/system_command.hpp"
#include "cli/token_command.hpp"
#include "cli/values.hpp"
#include "client/runtime/log.hpp"
#include "client/transport/tls.hpp"

namespace nbdring {

struct CommonOptions {
  bool verbose = false;
  LogFormat log_format = LogFormat::text;
  bool strict = false;  // unknown parameters of a backend, and keys of the file, are errors
  std::optional<std::string> config;  // --config

  Log log(int fd = 2) const {
    return Log(verbose ? LogLevel::debug : LogLevel::info, log_format, fd);
  }
};

// What attach's options, and their defaults in the configuration file, may be.
constexpr std::uint64_t connections_max = 16;
constexpr std::uint64_t seconds_max = 24 * 60 * 60;

/// What was not given is empty: its default may be in the configuration file, or hang on the
/// backend.
struct AttachCommand {
  std::string backend;
  std::optional<std::uint32_t> index;  // of /dev/nbdN
  bool foreground = false;
  bool root_device = false;  // cli/root_device.hpp
  // Printed is what nbd-client prints, and who finds the id attached has not attached it.
  bool as_nbd_client = false;
  std::optional<unsigned> connections;
  bool read_only = false;
  std::optional<std::uint32_t> block_size;
  std::optional<std::chrono::seconds> timeout;
  std::optional<std::chrono::seconds> recovery_window;
  std::string id;                 // empty: the backend's canonical text
  std::string name;               // empty: none
  std::string from_tab;           // an entry's name, instead of a backend; empty: none
  std::string tab;                // the file; empty: the default one
  bool wait = false;              // for a backend that is out of reach
  std::vector<LayerSpec> layers;  // in front of the backend, outermost first
  TlsOptions tls;                 // of a remote backend
  bool kernel_path = false;       // the driver is to talk to the server itself
};

struct DetachCommand {
  std::string target;  // device, id or name; empty with all
  bool force = false;
  bool all = false;
};

struct ResizeCommand {
  std::string target;
  std::optional<std::uint64_t> size;  // bytes; none: what the backend has now
  bool force = false;                 // also make it smaller
};

struct UpgradeCommand {
  std::string target;  // device, id or name; empty with all
  bool all = false;
  std::string program;  // empty: the one that runs this command
};

struct ListCommand {
  bool json = false;
};

enum class StatusForm { table, json, prometheus };

struct StatusCommand {
  std::string target;
  StatusForm form = StatusForm::table;
  bool watch = false;
};

struct ServeCommand {
  std::string backend;
  std::vector<std::string> unix_paths;
  std::vector<TcpEndpoint> tcp;
  std::vector<int> descriptors;
  bool read_only = false;
  std::vector<LayerSpec> layers;  // in front of the backend, outermost first
  std::string export_name;
  std::size_t clients_max = 64;
  std::chrono::seconds timeout{30};
  TlsSettings tls;  // towards the clients; the backend's are its own
};

struct InfoCommand {
  std::string backend;
  bool list = false;
  bool json = false;
  bool names_only = false;        // of list: a line for each, as nbd-client prints them
  std::vector<LayerSpec> layers;  // in front of the backend, outermost first
  TlsOptions tls;
};

/// What was not given is as the configuration file's [gateway] says.
struct GatewayCommand {
  std::vector<TcpEndpoint> listen;
  std::vector<std::string> unix_paths;
  bool insecure = false;  // neither a token nor TLS's word for the peer is asked for
  TlsSettings tls;        // towards the peers
  std::optional<std::string> json_config;
  std::optional<std::string> tokens;
  std::optional<std::string> state_dir;
};

struct ProxyCommand {
  std::string configuration;  // empty: the default one
  bool metadata = false;      // print it, and be done
  std::optional<std::string> json_config;
  std::optional<std::string> state_dir;
};

struct DoctorCommand {};

/// --help and --version: print and be done.
struct ShowText {
  std::string text;
};

using AnyCommand = std::variant<AttachCommand, DetachCommand, ListCommand, StatusCommand,
                                ResizeCommand, UpgradeCommand, ServeCommand, InfoCommand,
                                GatewayCommand, ProxyCommand, TokenCommand, BenchCommand,
                                DoctorCommand, NbdClientCommand, SystemCommand, ShowText>;

struct Invocation {
  CommonOptions common;
  AnyCommand command;
};

/// arguments[0] is the program's name: as `nbd-proxy` it is `nbdring proxy`, as `nbd-client` that
/// program's command line is taken (nbd_client.hpp).
Invocation parse_command_line(const std::vector<std::string>& arguments);

/// The long options that a command takes (empty: the program), with their dashes; for the test of
/// the help texts.
std::vector<std::string> options_of(const std::string& command);

}  // namespace nbdring
