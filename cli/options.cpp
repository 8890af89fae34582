#include "cli/options.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>

#include "cli/help.hpp"
#include "cli/nbd_client.hpp"
#include "cli/options_words.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

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
    add_resize_and_upgrade();
    add_serve();
    add_info();
    add_gateway();
    add_proxy();
    add_token();
    add_bench();
    command("doctor");
    for (const char* name : {"attach", "detach", "status", "resize", "upgrade", "serve", "info",
                             "gateway", "proxy", "token", "bench"}) {
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
  void add_resize_and_upgrade();
  void add_serve();
  void add_info();
  void add_gateway();
  void add_proxy();
  void add_token();
  void add_bench();
  void add_tls(CLI::App& to);

  void collect_given();
  [[noreturn]] void explain(const CLI::ParseError& error,
                            const std::vector<std::string>& arguments);

  CLI::App app_{"", "nbdring"};
  CommandWords words_;
};

void CommandLine::add_attach() {
  CLI::App& attach = command("attach");
  option(attach, "BACKEND");
  option(attach, "DEVICE");
  flag(attach, "-f,--foreground");
  flag(attach, "--root-device");
  option(attach, "-c,--connections");
  flag(attach, "-r,--read-only");
  option(attach, "-b,--block-size");
  option(attach, "--timeout");
  option(attach, "--recovery-window");
  option(attach, "--id");
  option(attach, "--name");
  option(attach, "--from-tab");
  option(attach, "--tab");
  flag(attach, "--wait");
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

void CommandLine::add_resize_and_upgrade() {
  CLI::App& resize = command("resize");
  option(resize, "DEVICE");
  option(resize, "SIZE");
  flag(resize, "--force");
  CLI::App& upgrade = command("upgrade");
  option(upgrade, "DEVICE");
  flag(upgrade, "--all");
  option(upgrade, "--program");
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

void CommandLine::add_gateway() {
  CLI::App& gateway = command("gateway");
  option_list(gateway, "--listen");
  option_list(gateway, "--unix");
  flag(gateway, "--insecure");
  option(gateway, "--tls-psk");
  option(gateway, "--tls-certificates");
  flag(gateway, "--tls-verify-peer");
  option(gateway, "--tls-priority");
  option(gateway, "--json-config");
  option(gateway, "--tokens");
  option(gateway, "--state-dir");
  flag(gateway, "--strict");
}

void CommandLine::add_proxy() {
  CLI::App& proxy = command("proxy");
  option(proxy, "CONFIGURATION");
  flag(proxy, "--metadata");
  option(proxy, "--json-config");
  option(proxy, "--state-dir");
  flag(proxy, "--strict");
}

void CommandLine::add_token() {
  CLI::App& token = command("token");
  option(token, "ACTION");
  option(token, "ID");
  option(token, "--configuration");
  option(token, "--label");
  flag(token, "-r,--read-only");
  option(token, "--expires");
  option(token, "--url");
  flag(token, "--json");
  flag(token, "--all");
  option(token, "--store");
}

void CommandLine::add_bench() {
  CLI::App& bench = command("bench");
  option(bench, "BACKEND");
  bench.add_option("--compare", words_.lists["--compare"])
      ->expected(1, static_cast<int>(bench_targets_max));
  option(bench, "-p,--pattern");
  option(bench, "-b,--block-size");
  option(bench, "-d,--depth");
  option(bench, "-c,--connections");
  option(bench, "--reads");
  flag(bench, "--write");
  flag(bench, "--verify");
  option(bench, "-t,--seconds");
  option(bench, "--rounds");
  option(bench, "--offset");
  option(bench, "--size");
  option(bench, "--seed");
  flag(bench, "--json");
  flag(bench, "--csv");
  option(bench, "--plot");
  option_list(bench, "--layer");
  add_tls(bench);
  flag(bench, "--strict");
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
  collect_given();
  return invocation_of(words_);
}

void CommandLine::collect_given() {
  const CLI::App& command = *app_.get_subcommands().front();
  words_.command = command.get_name();
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0) continue;
    words_.given.insert(option->get_name());  // the long one: "--connections" of -c too
  }
}

}  // namespace

Invocation parse_command_line(const std::vector<std::string>& arguments) {
  ENSURE(!arguments.empty());
  if (is_nbd_client(arguments.front())) return {{}, parse_nbd_client(arguments)};
  if (const auto command = system_command(arguments)) return {{}, *command};
  CommandLine line;
  if (arguments.front().substr(arguments.front().rfind('/') + 1) != "nbd-proxy") {
    return line.parse(arguments);
  }
  std::vector<std::string> as_command = arguments;
  as_command.insert(as_command.begin() + 1, "proxy");
  return line.parse(as_command);
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
