// nbdring attach: what is wanted, and a keeper for it, whose engine attaches it.

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "backends/nbd/direct.hpp"
#include "cli/commands.hpp"
#include "cli/config_defaults.hpp"
#include "cli/daemon.hpp"
#include "cli/engine.hpp"
#include "cli/identity.hpp"
#include "cli/keeper.hpp"
#include "cli/root_device.hpp"
#include "cli/tab.hpp"
#include "cli/wanted.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

bool asks_for_read_only(const AttachCommand& command, const BackendSpec& spec) {
  const auto* file = std::get_if<FileSpec>(&spec.form);
  return command.read_only || (file != nullptr && file->read_only);
}

Wanted wanted_of(const AttachCommand& given, const CommonOptions& common, Log& log) {
  const Config config = config_of(common, log);
  BackendSpec spec = backend_from(given.backend, config, common, log);
  AttachCommand command = with_defaults(given, spec.form, config);
  if (command.kernel_path) check_direct(spec.form, command.layers, command.tls);
  Wanted wanted;
  wanted.id = command.id;
  wanted.backend = canonical_text(spec, command.layers);
  wanted.read_only = asks_for_read_only(command, spec);
  wanted.bounds_log = !command.foreground;
  wanted.command = std::move(command);
  wanted.spec = std::move(spec);
  return wanted;
}

std::string folder_here() {
  std::error_code error;
  return std::filesystem::current_path(error).string();
}

void go_to(const std::string& folder) {
  if (::chdir(folder.c_str()) == 0) return;
  fail_errno(FailureKind::failed, "cannot go to " + folder + ", where this device was attached");
}

// Another program's keeper or engine was here before. Its words are read where they were written.
int go_on(Passed passed, const AttachCommand& given, const CommonOptions& common, Log& log) {
  go_to(passed.state.directory);
  const Wanted wanted = wanted_of(given, common, log);
  if (passed.state.in_background) go_to("/");
  const EngineWork work = [&](EngineLink& link) { return run_engine(wanted, link, log); };
  return run_passed(work, std::move(passed), log);
}

}  // namespace

int run_attach(const AttachCommand& asked, const CommonOptions& common) {
  if (::geteuid() != 0) {
    throw Failure(FailureKind::cannot_attach,
                  "attaching needs root; run it with sudo, or try `nbdring serve`, which does not");
  }
  const AttachCommand given = from_tab(asked);
  Log log = common.log();
  command_line();  // before it is marked
  if (given.root_device) mark_for_final_kill();
  if (auto passed = take_passed()) return go_on(std::move(*passed), given, common, log);
  const Wanted wanted = wanted_of(given, common, log);
  const EngineWork work = [&](EngineLink& link) { return run_engine(wanted, link, log); };
  const auto keeper = [&](Announcer& announcer) {
    KeeperState state;
    state.directory = folder_here();
    state.in_background = !wanted.command.foreground;
    return run_keeper(work, std::move(state), announcer, log);
  };
  return wanted.command.foreground ? run_in_foreground(keeper) : run_in_background(keeper);
}

}  // namespace nbdring
