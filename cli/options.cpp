#include "cli/options.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <map>

#include "cli/help.hpp"
#include "client/protocol/backend_spec.hpp"
#include "client/runtime/error.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t clients_max = 4096;
constexpr std::uint64_t descriptor_max = 1 << 20;
static_assert(seconds_max * 1'000'000'000 < (1ULL << 63), "a duration in nanoseconds");
constexpr std::size_t export_name_bytes_max = 4096;  // NBD: the longest that must be supported

// CLI11 sorts the words into these; what they mean is checked afterwards, by values.hpp.
struct Words {
  std::map<std::string, std::string> values;              // long option or positional -> its value
  std::map<std::string, std::vector<std::string>> lists;  // the same for repeatable options
  std::map<std::string, bool> flags;
};

class CommandLine {
 public:
  CommandLine() {
    app_.set_help_flag("-h,--help");
    app_.set_version_flag("--version", "nbdring " NBDRING_VERSION);
    app_.require_subcommand(1);
    flag(app_, "-v,--verbose");
    option(app_, "--log-format");
    add_attach();
    add_detach();
    add_list_and_status();
    add_serve();
    add_info();
    command("doctor");
    for (const char* name : {"attach", "detach", "status", "serve", "info"}) {
      option(*app_.get_subcommand(name), "--config");
    }
  }

  Invocation parse(const std::vector<std::string>& arguments);
  CLI::App& app() { return app_; }

 private:
  CLI::App& command(const std::string& name) {
    CLI::App& added = *app_.add_subcommand(name);
    flag(added, "-v,--verbose");
    option(added, "--log-format");
    return added;
  }
  // "-c,--connections" is kept as "--connections".
  static std::string key_of(const std::string& names) { return names.substr(names.rfind(',') + 1); }
  CLI::Option* option(CLI::App& to, const std::string& names) {
    return to.add_option(names, words_.values[key_of(names)]);
  }
  void option_list(CLI::App& to, const std::string& names) {
    to.add_option(names, words_.lists[key_of(names)])->expected(1)->take_all();
  }
  void flag(CLI::App& to, const std::string& names) {
    to.add_flag(names, words_.flags[key_of(names)]);
  }

  void add_attach();
  void add_detach();
  void add_list_and_status();
  void add_serve();
  void add_info();
  void add_tls(CLI::App& to);

  CommonOptions common() const;
  AttachCommand attach() const;
  DetachCommand detach() const;
  StatusCommand status() const;
  ServeCommand serve() const;
  InfoCommand info() const;
  TlsOptions tls() const;
  TlsSettings serve_tls() const;
  bool has(const std::string& name) const {
    return app_.get_subcommands().front()->count(name) > 0;
  }
  std::uint64_t number(const std::string& name, std::uint64_t least, std::uint64_t most,
                       std::uint64_t otherwise) const;
  std::string positional(const std::string& command, const std::string& name,
                         const std::string& what) const;
  [[noreturn]] void explain(const CLI::ParseError& error,
                            const std::vector<std::string>& arguments);

  CLI::App app_{"", "nbdring"};
  Words words_;
};

void CommandLine::add_attach() {
  CLI::App& attach = command("attach");
  option(attach, "BACKEND");
  option(attach, "DEVICE");
  flag(attach, "-f,--foreground");
  option(attach, "-c,--connections");
  flag(attach, "-r,--read-only");
  option(attach, "-b,--block-size");
  option(attach, "--timeout");
  option(attach, "--recovery-window");
  option(attach, "--id");
  option(attach, "--name");
  option(attach, "--path");
  option_list(attach, "--layer");
  add_tls(attach);
  flag(attach, "--strict");
}

void CommandLine::add_detach() {
  CLI::App& detach = command("detach");
  option(detach, "DEVICE");
  flag(detach, "--force");
  flag(detach, "--all");
}

void CommandLine::add_list_and_status() {
  flag(command("list"), "--json");
  CLI::App& status = command("status");
  option(status, "DEVICE");
  flag(status, "--json");
  flag(status, "--prometheus");
  flag(status, "--watch");
}

void CommandLine::add_serve() {
  CLI::App& serve = command("serve");
  option(serve, "BACKEND");
  option_list(serve, "--unix");
  option_list(serve, "--tcp");
  option_list(serve, "--fd");
  flag(serve, "-r,--read-only");
  option_list(serve, "--layer");
  option(serve, "-n,--export-name");
  option(serve, "--max-clients");
  option(serve, "--tls");
  option(serve, "--tls-psk");
  option(serve, "--tls-certificates");
  flag(serve, "--tls-verify-peer");
  option(serve, "--tls-priority");
  option(serve, "--timeout");
  flag(serve, "--strict");
}

void CommandLine::add_info() {
  CLI::App& info = command("info");
  option(info, "BACKEND");
  option_list(info, "--layer");
  flag(info, "--list");
  flag(info, "--json");
  add_tls(info);
  flag(info, "--strict");
}

// Of a remote backend; serve's own are towards its clients.
void CommandLine::add_tls(CLI::App& to) {
  option(to, "--tls");
  option(to, "--tls-psk-file");
  option(to, "--tls-certificates");
  option(to, "--tls-hostname");
  to.add_option("--tls-verify-peer", words_.values["--tls-verify-peer"]);
  option(to, "--tls-priority");
}

std::uint64_t CommandLine::number(const std::string& name, std::uint64_t least, std::uint64_t most,
                                  std::uint64_t otherwise) const {
  return has(name) ? parse_number(name, words_.values.at(name), least, most) : otherwise;
}

std::string CommandLine::positional(const std::string& command, const std::string& name,
                                    const std::string& what) const {
  if (!words_.values.at(name).empty()) return words_.values.at(name);
  throw Failure(FailureKind::usage, command + ": no " + name + " given; say " + what);
}

CommonOptions CommandLine::common() const {
  CommonOptions options;
  options.verbose = words_.flags.at("--verbose");
  options.strict = words_.flags.at("--strict");
  const auto* const config = app_.get_subcommands().front()->get_option_no_throw("--config");
  if (config != nullptr && !config->empty()) options.config = words_.values.at("--config");
  const std::string& format = words_.values.at("--log-format");
  if (format == "json") {
    options.log_format = LogFormat::json;
  } else if (!format.empty() && format != "text") {
    throw Failure(FailureKind::usage, "--log-format: '" + format + "' is neither text nor json");
  }
  return options;
}

AttachCommand CommandLine::attach() const {
  const auto& values = words_.values;
  AttachCommand command;
  command.backend =
      positional("attach", "BACKEND", "what to attach, e.g. `nbdring attach disk.img`");
  if (has("DEVICE")) {
    command.index = device_index(values.at("DEVICE"));
    if (!command.index) {
      throw Failure(FailureKind::usage, "attach: '" + values.at("DEVICE") +
                                            "' is not a device; say /dev/nbdN, N, or nothing for a "
                                            "free one");
    }
  }
  command.foreground = words_.flags.at("--foreground");
  if (has("--connections")) command.connections = number("--connections", 1, connections_max, 0);
  command.read_only = words_.flags.at("--read-only");
  if (has("--block-size")) {
    command.block_size = parse_block_size("--block-size", values.at("--block-size"));
  }
  if (has("--timeout")) {
    command.timeout = std::chrono::seconds(number("--timeout", 1, seconds_max, 0));
  }
  if (has("--recovery-window")) {
    command.recovery_window = std::chrono::seconds(number("--recovery-window", 0, seconds_max, 0));
  }
  if (has("--id")) command.id = parse_id("--id", values.at("--id"));
  if (has("--name")) command.name = parse_name("--name", values.at("--name"));
  const std::string& path = values.at("--path");
  if (path == "kernel") {
    throw Failure(FailureKind::usage,
                  "--path: 'kernel' is not in this version: requests go through the engine");
  }
  if (!path.empty() && path != "auto" && path != "engine") {
    throw Failure(FailureKind::usage, "--path: '" + path + "' is not auto or engine");
  }
  command.layers = parse_layers(words_.lists.at("--layer"));
  command.tls = tls();
  return command;
}

DetachCommand CommandLine::detach() const {
  DetachCommand command;
  command.force = words_.flags.at("--force");
  command.all = words_.flags.at("--all");
  if (!command.all) {
    command.target =
        positional("detach", "DEVICE", "which one, as `nbdring list` shows it, or --all");
  } else if (has("DEVICE")) {
    throw Failure(FailureKind::usage, "detach: '" + words_.values.at("DEVICE") +
                                          "' and --all exclude each other; leave one out");
  }
  return command;
}

StatusCommand CommandLine::status() const {
  StatusCommand command;
  command.target = positional("status", "DEVICE", "which one, as `nbdring list` shows it");
  command.watch = words_.flags.at("--watch");
  const bool json = words_.flags.at("--json");
  const bool prometheus = words_.flags.at("--prometheus");
  if (json + prometheus + command.watch > 1) {
    throw Failure(FailureKind::usage,
                  "status: --json, --prometheus and --watch exclude each other; leave one");
  }
  if (json) command.form = StatusForm::json;
  if (prometheus) command.form = StatusForm::prometheus;
  return command;
}

ServeCommand CommandLine::serve() const {
  ServeCommand command;
  command.backend =
      positional("serve", "BACKEND", "what to serve, e.g. `nbdring serve disk.img --unix PATH`");
  command.unix_paths = words_.lists.at("--unix");
  for (const std::string& text : words_.lists.at("--tcp")) {
    command.tcp.push_back(parse_endpoint("--tcp", text));
  }
  for (const std::string& text : words_.lists.at("--fd")) {
    command.descriptors.push_back(static_cast<int>(parse_number("--fd", text, 0, descriptor_max)));
  }
  command.read_only = words_.flags.at("--read-only");
  command.export_name = words_.values.at("--export-name");
  if (command.export_name.size() > export_name_bytes_max) {
    throw Failure(FailureKind::usage,
                  "--export-name: longer than 4096 bytes; choose a shorter one");
  }
  command.clients_max = number("--max-clients", 1, clients_max, 64);
  command.layers = parse_layers(words_.lists.at("--layer"));
  command.tls = serve_tls();
  command.timeout = std::chrono::seconds(number("--timeout", 1, seconds_max, 30));
  return command;
}

InfoCommand CommandLine::info() const {
  InfoCommand command;
  command.backend =
      positional("info", "BACKEND", "what to ask, e.g. `nbdring info nbd://server/export`");
  command.list = words_.flags.at("--list");
  command.json = words_.flags.at("--json");
  command.layers = parse_layers(words_.lists.at("--layer"));
  command.tls = tls();
  return command;
}

TlsOptions CommandLine::tls() const {
  const auto& values = words_.values;
  TlsOptions tls;
  if (has("--tls")) tls.policy = parse_tls_policy("--tls", values.at("--tls"));
  if (has("--tls-psk-file")) tls.psk_file = values.at("--tls-psk-file");
  if (has("--tls-certificates")) tls.certificates = values.at("--tls-certificates");
  if (has("--tls-hostname")) tls.hostname = values.at("--tls-hostname");
  if (has("--tls-priority")) tls.priority = values.at("--tls-priority");
  if (has("--tls-verify-peer")) {
    tls.verify_peer = parse_switch("--tls-verify-peer", values.at("--tls-verify-peer"));
  }
  return tls;
}

// Who gives keys wants them used, and nothing to be read without them.
TlsSettings CommandLine::serve_tls() const {
  const auto& values = words_.values;
  TlsSettings tls;
  tls.psk_file = values.at("--tls-psk");
  tls.certificates = values.at("--tls-certificates");
  tls.verify_peer = words_.flags.at("--tls-verify-peer");
  tls.priority = values.at("--tls-priority");
  if (!tls.psk_file.empty() || !tls.certificates.empty()) tls.policy = TlsPolicy::require;
  if (has("--tls")) tls.policy = parse_tls_policy("--tls", values.at("--tls"));
  check_serve_tls(tls);
  return tls;
}

// CLI11's words for what it refuses itself, in one line, with the place where help is.
void CommandLine::explain(const CLI::ParseError& error, const std::vector<std::string>& arguments) {
  const auto commands = app_.get_subcommands();
  const auto first = std::find_if(arguments.begin() + 1, arguments.end(),
                                  [](const std::string& word) { return !word.starts_with("-"); });
  if (commands.empty() && first != arguments.end()) {
    throw Failure(FailureKind::usage,
                  "'" + *first + "' is not a command; `nbdring --help` lists them");
  }
  const std::string command = commands.empty() ? "" : commands.front()->get_name();
  const std::string help = "; see `nbdring " + command + (command.empty() ? "" : " ") + "--help`";
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const auto extras = app_.remaining(true);
    throw Failure(FailureKind::usage, (command.empty() ? "" : command + ": ") + "'" +
                                          (extras.empty() ? std::string("?") : extras.front()) +
                                          "' is not understood here" + help);
  }
  if (commands.empty()) throw Failure(FailureKind::usage, "no command given" + help);
  std::string text = error.what();
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    text = text.substr(0, text.find(": ")) + " takes one value, once";
  }
  throw Failure(FailureKind::usage, command + ": " + text + help);
}

Invocation CommandLine::parse(const std::vector<std::string>& arguments) {
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend() - 1);
  try {
    app_.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    const auto commands = app_.get_subcommands();
    return {{}, ShowText{help_text(commands.empty() ? "" : commands.front()->get_name())}};
  } catch (const CLI::CallForVersion& version) {
    return {{}, ShowText{std::string(version.what()) + "\n"}};
  } catch (const CLI::ParseError& error) {
    explain(error, arguments);
  }
  const std::string name = app_.get_subcommands().front()->get_name();
  Invocation invocation{common(), DoctorCommand{}};
  if (name == "attach") invocation.command = attach();
  if (name == "detach") invocation.command = detach();
  if (name == "list") invocation.command = ListCommand{words_.flags.at("--json")};
  if (name == "status") invocation.command = status();
  if (name == "serve") invocation.command = serve();
  if (name == "info") invocation.command = info();
  return invocation;
}

}  // namespace

Invocation parse_command_line(const std::vector<std::string>& arguments) {
  ENSURE(!arguments.empty());
  CommandLine line;
  return line.parse(arguments);
}

std::vector<std::string> options_of(const std::string& command) {
  CommandLine line;
  std::vector<std::string> names;
  CLI::App& app = command.empty() ? line.app() : *line.app().get_subcommand(command);
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

}  // namespace nbdring
