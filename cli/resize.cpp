// nbdring resize: asks the engine for another size of its device.

#include "cli/commands.hpp"
#include "cli/control.hpp"
#include "cli/lookup.hpp"
#include "cli/report.hpp"
#include "cli/resize_device.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

std::string result_text(const std::string& device, const ResizeResult& result) {
  if (result.size == result.before) {
    return device + ": " + bytes_text(result.size) + " (" + std::to_string(result.size) +
           " bytes), as before\n";
  }
  return device + ": " + bytes_text(result.before) + " -> " + bytes_text(result.size) + " (" +
         std::to_string(result.size) + " bytes), I/O waited " + std::to_string(result.stall_ms) +
         " ms\n";
}

}  // namespace

int run_resize(const ResizeCommand& command, const CommonOptions& common) {
  const RunFolder folder;
  const KnownDevice known = look_up(folder, command.target, common);
  const std::string device = known.record.device();
  if (!known.engine_lives) {
    throw Failure(FailureKind::failed, "the engine of " + device + " has died; attach it again");
  }
  ControlConnection engine(folder.socket_path(known.record.index));
  ControlRequest request;
  request.command = ControlRequest::Command::resize;
  request.size = command.size;
  request.force = command.force;
  const ControlReply reply = engine.ask(request, Deadline::in(resize_wait));
  if (reply.exit_code != 0) throw Failure(static_cast<FailureKind>(reply.exit_code), reply.error);
  const auto result = resize_result(reply.body);
  if (!result) {
    throw Failure(FailureKind::failed,
                  "the engine of " + device + " speaks another version's language");
  }
  print(result_text(device, *result));
  return 0;
}

}  // namespace nbdring
