// nbdring info: what a backend is. A remote one is asked without being attached or written to; a
// local one, and any with layers in front, is opened read-only.

#include "backends/open.hpp"
#include "cli/commands.hpp"
#include "cli/config_defaults.hpp"
#include "cli/info_report.hpp"
#include "client/runtime/loop.hpp"

namespace nbdring {
namespace {

using Goal = ClientHandshakeOptions::Goal;

InfoReport ask_backend(const BackendSpec& spec, const InfoCommand& command, const Config& config,
                       Log& log) {
  OpenOptions options;
  options.read_only = true;
  options.layers = command.layers;
  options.tls = with_defaults(command.tls, spec.form, config.tls);
  const auto backend = open_backend(spec, options, log);
  const Export& about = backend->about();
  InfoReport report;
  report.exports.push_back({about.name, about.description, true, true, about});
  return report;
}

Task<void> look_at(Loop& loop, const Dialer& dialer, Goal goal, Looked& looked) {
  looked = co_await dialer.look(loop, goal);
}

InfoReport ask_server(const BackendSpec& spec, const InfoCommand& command, const Config& config,
                      Log& log) {
  const TlsOptions tls = with_defaults(command.tls, spec.form, config.tls);
  const std::unique_ptr<Dialer> dialer = make_dialer(spec.form, tls, log);
  Loop loop;
  Looked looked;
  loop.run(look_at(loop, *dialer, command.list ? Goal::list : Goal::info, looked));
  InfoReport report;
  report.is_remote = true;
  report.exports = std::move(looked.exports);
  report.transmission = looked.transmission;
  if (looked.is_encrypted) report.tls = looked.tls_report;
  return report;
}

}  // namespace

int run_info(const InfoCommand& command, const CommonOptions& common) {
  if (command.list && !command.layers.empty()) {
    throw Failure(FailureKind::usage, "info: --list and --layer exclude each other; leave one out");
  }
  Log log = common.log();
  const Config config = config_of(common, log);
  const BackendSpec spec = backend_from(command.backend, config, common, log);
  const bool is_asked = can_go_away(spec.form) && command.layers.empty();
  InfoReport report =
      is_asked ? ask_server(spec, command, config, log) : ask_backend(spec, command, config, log);
  report.backend = to_text(spec.form);
  report.is_list = command.list;
  if (command.names_only) {
    print(info_names(report));
  } else {
    print(command.json ? info_json(report) : info_text(report));
  }
  return 0;
}

}  // namespace nbdring
