// nbdring upgrade: has the engines of running devices hand them to another program.

#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/control.hpp"
#include "cli/lookup.hpp"
#include "cli/root_device.hpp"
#include "cli/state.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// The engine stands in another folder than who asks.
std::string absolute_program(const std::string& given) {
  const std::string path = given.empty() ? "/proc/self/exe" : given;
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) {
    throw Failure(FailureKind::usage, "--program: " + path + ": " + error_text(errno));
  }
  return resolved;
}

void upgrade_one(const KnownDevice& known, const RunFolder& folder, const std::string& program) {
  const std::string device = known.record.device();
  if (!known.engine_lives) {
    throw Failure(FailureKind::failed, "the engine of " + device + " has died; attach it again");
  }
  ControlRequest request;
  request.command = ControlRequest::Command::upgrade;
  // The root device's keeper has no file of this system: it is brought the program first.
  const DeviceRecord& record = known.record;
  request.program = program_in_root_of(record.keeper != 0 ? record.keeper : record.pid, program);
  // Not before the copying, which may take longer than an engine waits for a question.
  ControlConnection engine(folder.socket_path(record.index));
  const ControlReply reply = engine.ask(request, Deadline::in(upgrade_wait));
  if (reply.exit_code != 0) throw Failure(static_cast<FailureKind>(reply.exit_code), reply.error);
  const auto result = nlohmann::json::parse(reply.body, nullptr, false);
  if (!result.is_object()) {
    throw Failure(FailureKind::failed,
                  "the engine of " + device + " speaks another version's language");
  }
  print(device + ": upgraded " + result.value("from", "?") + " -> " + result.value("to", "?") +
        ", I/O waited " + std::to_string(result.value("stall_ms", std::uint64_t{0})) + " ms\n");
}

}  // namespace

int run_upgrade(const UpgradeCommand& command, const CommonOptions& common) {
  Log log = common.log();
  const RunFolder folder;
  const std::string program = absolute_program(command.program);
  const auto upgrade = [&](const KnownDevice& known) { upgrade_one(known, folder, program); };
  if (command.all) return with_each_device(folder, log, upgrade);
  upgrade(look_up(folder, command.target, common));
  return 0;
}

}  // namespace nbdring
