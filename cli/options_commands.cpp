// What each command's words mean.

#include "cli/options_words.hpp"
#include "client/protocol/backend_spec.hpp"
#include "client/runtime/error.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t clients_max = 4096;
constexpr std::uint64_t descriptor_max = 1 << 20;
static_assert(seconds_max * 1'000'000'000 < (1ULL << 63), "a duration in nanoseconds");
constexpr std::size_t export_name_bytes_max = 4096;  // NBD: the longest that must be supported

CommonOptions common_of(const CommandWords& words) {
  CommonOptions options;
  options.verbose = words.flags.at("--verbose");
  options.strict = words.flags.at("--strict");
  if (words.has("--config")) options.config = words.values.at("--config");
  const std::string& format = words.values.at("--log-format");
  if (format == "json") {
    options.log_format = LogFormat::json;
  } else if (!format.empty() && format != "text") {
    throw Failure(FailureKind::usage, "--log-format: '" + format + "' is neither text nor json");
  }
  return options;
}

// What the entry does not say is all that can be said beside it.
void attach_from_tab(const CommandWords& words, AttachCommand& command) {
  for (const std::string& given : words.given) {
    static const std::set<std::string> beside{"--from-tab", "--tab",         "--foreground",
                                              "--wait",     "--root-device", "--config",
                                              "--verbose",  "--log-format",  "--strict"};
    if (beside.contains(given)) continue;
    throw Failure(FailureKind::usage,
                  "attach: '" + given + "' is the entry's business; leave it, or --from-tab, out");
  }
  command.from_tab = words.values.at("--from-tab");
  command.tab = words.values.at("--tab");
}

AttachCommand attach_of(const CommandWords& words) {
  const auto& values = words.values;
  AttachCommand command;
  if (words.has("--from-tab")) {
    attach_from_tab(words, command);
  } else {
    command.backend = words.positional("BACKEND", "what to attach, e.g. `nbdring attach disk.img`");
  }
  if (words.has("--tab") && !words.has("--from-tab")) {
    throw Failure(FailureKind::usage, "attach: --tab says where --from-tab looks; give both");
  }
  command.wait = words.flags.at("--wait");
  if (words.has("DEVICE")) {
    command.index = device_index(values.at("DEVICE"));
    if (!command.index) {
      throw Failure(FailureKind::usage, "attach: '" + values.at("DEVICE") +
                                            "' is not a device; say /dev/nbdN, N, or nothing for a "
                                            "free one");
    }
  }
  command.foreground = words.flags.at("--foreground");
  command.root_device = words.flags.at("--root-device");
  if (words.has("--connections"))
    command.connections = words.number("--connections", 1, connections_max, 0);
  command.read_only = words.flags.at("--read-only");
  if (words.has("--block-size")) {
    command.block_size = parse_block_size("--block-size", values.at("--block-size"));
  }
  if (words.has("--timeout")) {
    command.timeout = std::chrono::seconds(words.number("--timeout", 1, seconds_max, 0));
  }
  if (words.has("--recovery-window")) {
    command.recovery_window =
        std::chrono::seconds(words.number("--recovery-window", 0, seconds_max, 0));
  }
  if (words.has("--id")) command.id = parse_id("--id", values.at("--id"));
  if (words.has("--name")) command.name = parse_name("--name", values.at("--name"));
  const std::string& path = values.at("--path");
  if (!path.empty() && path != "auto" && path != "engine" && path != "kernel") {
    throw Failure(FailureKind::usage, "--path: '" + path + "' is not auto, engine or kernel");
  }
  command.kernel_path = path == "kernel";
  command.layers = parse_layers(words.lists.at("--layer"));
  command.tls = remote_tls_of(words);
  return command;
}

// The device that is meant; empty with --all.
std::string one_or_all(const CommandWords& words) {
  if (!words.flags.at("--all")) {
    return words.positional("DEVICE", "which one, as `nbdring list` shows it, or --all");
  }
  if (words.has("DEVICE")) {
    throw Failure(FailureKind::usage, words.command + ": '" + words.values.at("DEVICE") +
                                          "' and --all exclude each other; leave one out");
  }
  return "";
}

DetachCommand detach_of(const CommandWords& words) {
  DetachCommand command;
  command.force = words.flags.at("--force");
  command.all = words.flags.at("--all");
  command.target = one_or_all(words);
  return command;
}

ResizeCommand resize_of(const CommandWords& words) {
  ResizeCommand command;
  command.target = words.positional("DEVICE", "which one, as `nbdring list` shows it");
  command.force = words.flags.at("--force");
  if (!words.has("SIZE")) return command;
  command.size = parse_size(words.values.at("SIZE"), "SIZE");
  if (*command.size == 0) {
    throw Failure(FailureKind::usage, "resize: SIZE: '" + words.values.at("SIZE") +
                                          "' is nothing; give the bytes that are to stay");
  }
  return command;
}

UpgradeCommand upgrade_of(const CommandWords& words) {
  UpgradeCommand command;
  command.all = words.flags.at("--all");
  command.target = one_or_all(words);
  command.program = words.values.at("--program");
  return command;
}

StatusCommand status_of(const CommandWords& words) {
  StatusCommand command;
  command.target = words.positional("DEVICE", "which one, as `nbdring list` shows it");
  command.watch = words.flags.at("--watch");
  const bool json = words.flags.at("--json");
  const bool prometheus = words.flags.at("--prometheus");
  if (json + prometheus + command.watch > 1) {
    throw Failure(FailureKind::usage,
                  "status: --json, --prometheus and --watch exclude each other; leave one");
  }
  if (json) command.form = StatusForm::json;
  if (prometheus) command.form = StatusForm::prometheus;
  return command;
}

ServeCommand serve_of(const CommandWords& words) {
  ServeCommand command;
  command.backend =
      words.positional("BACKEND", "what to serve, e.g. `nbdring serve disk.img --unix PATH`");
  command.unix_paths = words.lists.at("--unix");
  for (const std::string& text : words.lists.at("--tcp")) {
    command.tcp.push_back(parse_endpoint("--tcp", text));
  }
  for (const std::string& text : words.lists.at("--fd")) {
    command.descriptors.push_back(static_cast<int>(parse_number("--fd", text, 0, descriptor_max)));
  }
  command.read_only = words.flags.at("--read-only");
  command.export_name = words.values.at("--export-name");
  if (command.export_name.size() > export_name_bytes_max) {
    throw Failure(FailureKind::usage,
                  "--export-name: longer than 4096 bytes; choose a shorter one");
  }
  command.clients_max = words.number("--max-clients", 1, clients_max, 64);
  command.layers = parse_layers(words.lists.at("--layer"));
  command.tls = server_tls_of(words);
  command.timeout = std::chrono::seconds(words.number("--timeout", 1, seconds_max, 30));
  return command;
}

InfoCommand info_of(const CommandWords& words) {
  InfoCommand command;
  command.backend =
      words.positional("BACKEND", "what to ask, e.g. `nbdring info nbd://server/export`");
  command.list = words.flags.at("--list");
  command.json = words.flags.at("--json");
  command.layers = parse_layers(words.lists.at("--layer"));
  command.tls = remote_tls_of(words);
  return command;
}

}  // namespace

std::uint64_t CommandWords::number(const std::string& name, std::uint64_t least, std::uint64_t most,
                                   std::uint64_t otherwise) const {
  return has(name) ? parse_number(name, values.at(name), least, most) : otherwise;
}

std::string CommandWords::positional(const std::string& name, const std::string& what) const {
  if (!values.at(name).empty()) return values.at(name);
  throw Failure(FailureKind::usage, command + ": no " + name + " given; say " + what);
}

TlsOptions remote_tls_of(const CommandWords& words) {
  const auto& values = words.values;
  TlsOptions tls;
  if (words.has("--tls")) tls.policy = parse_tls_policy("--tls", values.at("--tls"));
  if (words.has("--tls-psk-file")) tls.psk_file = values.at("--tls-psk-file");
  if (words.has("--tls-certificates")) tls.certificates = values.at("--tls-certificates");
  if (words.has("--tls-hostname")) tls.hostname = values.at("--tls-hostname");
  if (words.has("--tls-priority")) tls.priority = values.at("--tls-priority");
  if (words.has("--tls-verify-peer")) {
    tls.verify_peer = parse_switch("--tls-verify-peer", values.at("--tls-verify-peer"));
  }
  return tls;
}

// Who gives keys wants them used, and nothing to be read without them.
TlsSettings server_tls_of(const CommandWords& words) {
  const auto& values = words.values;
  TlsSettings tls;
  tls.psk_file = values.at("--tls-psk");
  tls.certificates = values.at("--tls-certificates");
  tls.verify_peer = words.flags.at("--tls-verify-peer");
  tls.priority = values.at("--tls-priority");
  if (!tls.psk_file.empty() || !tls.certificates.empty()) tls.policy = TlsPolicy::require;
  if (words.has("--tls")) tls.policy = parse_tls_policy("--tls", values.at("--tls"));
  check_serve_tls(tls);
  return tls;
}

Invocation invocation_of(const CommandWords& words) {
  const std::string& name = words.command;
  Invocation invocation{common_of(words), DoctorCommand{}};
  if (name == "attach") invocation.command = attach_of(words);
  if (name == "detach") invocation.command = detach_of(words);
  if (name == "list") invocation.command = ListCommand{words.flags.at("--json")};
  if (name == "status") invocation.command = status_of(words);
  if (name == "resize") invocation.command = resize_of(words);
  if (name == "upgrade") invocation.command = upgrade_of(words);
  if (name == "serve") invocation.command = serve_of(words);
  if (name == "info") invocation.command = info_of(words);
  if (name == "gateway") invocation.command = gateway_of(words);
  if (name == "proxy") invocation.command = proxy_of(words);
  if (name == "bench") invocation.command = bench_of(words);
  if (name == "token") invocation.command = token_of(words);
  return invocation;
}

}  // namespace nbdring
