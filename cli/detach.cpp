// nbdring detach: see who uses the device, have everything written out, and let the engine
// disconnect it. Where the engine has died, the driver's part and the files are cleaned up from
// here.

#include <fcntl.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>

#include "cli/commands.hpp"
#include "cli/control.hpp"
#include "cli/device_status.hpp"
#include "cli/in_use.hpp"
#include "cli/lookup.hpp"
#include "cli/state.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"
#include "kernel/disconnect.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::seconds flush_wait{300};  // gigabytes of dirty pages may be on their way
constexpr std::chrono::seconds forced_flush_wait{10};  // who forces does not want to wait

// In a process of its own: a write that hangs in the kernel cannot be killed, but it can be left
// behind.
pid_t start_flush(const std::string& device) {
  const pid_t child = ::fork();
  if (child < 0) fail_errno(FailureKind::failed, "cannot start a process for fsync");
  if (child > 0) return child;
  const int fd = ::open(device.c_str(), O_RDONLY | O_CLOEXEC);
  std::_Exit(fd >= 0 && ::fsync(fd) == 0 ? 0 : errno);
}

void flush_device(const std::string& device, std::chrono::seconds wait) {
  const pid_t child = start_flush(device);
  int status = 0;
  const auto ended = [child, &status] { return ::waitpid(child, &status, WNOHANG) == child; };
  const std::string action = "writing " + device + " out";
  if (!wait_until(ended, Deadline::in(wait))) {
    throw Failure(FailureKind::failed, action + " did not end within " +
                                           std::to_string(wait.count()) +
                                           " s; see `nbdring status`, or detach it with --force");
  }
  if (!WIFEXITED(status)) throw Failure(FailureKind::failed, action + " was killed; try again");
  const int error = WEXITSTATUS(status);
  if (error != 0) {
    throw Failure(FailureKind::failed, action + ": " + error_text(error) +
                                           "; what is lost is lost: detach it with --force");
  }
}

// What holds the bytes is away: nothing can be written out, and trying would only wait for it.
std::string away_text(const DeviceRecord& record, const RunFolder& folder) {
  ControlConnection engine(folder.socket_path(record.index));
  const ControlRequest question{ControlRequest::Command::status, false};
  const auto status = status_from_json(engine.ask(question, Deadline::in(engine_wait)).body);
  if (!status || status->remote.state.empty() || status->remote.state == "serving") return "";
  const BackendHealth& remote = status->remote;
  return remote.endpoint + " is away (" + remote.last_reason +
         "): " + std::to_string(remote.volatile_writes) + " acknowledged writes are not flushed";
}

void flush_as_wanted(const DeviceRecord& record, const RunFolder& folder, bool force, Log& log) {
  const std::string device = record.device();
  const std::string away = away_text(record, folder);
  if (!away.empty() && !force) {
    throw Failure(FailureKind::failed, "cannot write " + device + " out: " + away +
                                           "; wait for it, or detach with --force and lose them");
  }
  if (!away.empty()) return log.warning("what " + device + " had not written is lost: " + away);
  if (!force) return flush_device(device, flush_wait);
  try {
    flush_device(device, forced_flush_wait);
  } catch (const Failure& failure) {
    log.warning(failure.what());
  }
}

// A gateway's engine goes on when the device has ended, which takes as long as its stop hooks do.
void wait_for_gateway(const DeviceRecord& record, const RunFolder& folder, const std::string& body,
                      bool force) {
  const auto within = ends_within(body);
  if (!within) throw Failure(FailureKind::failed, "the gateway speaks another version's language");
  bool is_held = false;
  const auto has_ended = [&] {
    const auto known = folder.find(record.device());
    const bool is_the_same = known && known->record == record;
    is_held = is_the_same && !known->engine_lives;
    return !is_the_same || is_held;
  };
  if (!wait_until(has_ended, Deadline::in(*within))) {
    throw Failure(FailureKind::failed, record.device() + " is not detached after " +
                                           std::to_string(within->count()) +
                                           " s; see the gateway's log");
  }
  if (is_held && !force) throw Failure(FailureKind::failed, held_text(record.device()));
}

void ask_engine(const DeviceRecord& record, const RunFolder& folder, bool force, Log& log) {
  ControlConnection engine(folder.socket_path(record.index));
  const ControlRequest request{ControlRequest::Command::detach, force};
  const ControlReply reply = engine.ask(request, Deadline::in(engine_wait));
  if (reply.exit_code != 0) {
    throw Failure(static_cast<FailureKind>(reply.exit_code), reply.error);
  }
  if (!reply.error.empty()) log.warning(reply.error);
  if (!reply.body.empty()) return wait_for_gateway(record, folder, reply.body, force);
  if (!engine.wait_for_engine_end(Deadline::in(engine_wait))) {
    throw Failure(FailureKind::failed, record.device() + " is detached, but its engine (pid " +
                                           std::to_string(record.pid) + ") does not end");
  }
}

// Nothing answers requests any more: what was not written is lost, and flushing would only wait for
// that.
void clean_up_after(const DeviceRecord& record, const RunFolder& folder, Log& log) {
  log.warning("the engine had died: what it had not written is lost",
              {{"device", record.device()}});
  if (!disconnect_index(record.index, disconnect_wait, log)) {
    throw Failure(FailureKind::failed, held_text(record.device()));
  }
  folder.forget(record.index);
}

void detach_one(const KnownDevice& known, const RunFolder& folder, bool force, Log& log) {
  const DeviceRecord& record = known.record;
  if (!force) {
    const auto users = lasting_users_of(record.index, Deadline::in(passing_user_wait));
    if (!users.empty()) throw Failure(FailureKind::busy, in_use_text(record.device(), users));
  }
  if (!known.engine_lives) return clean_up_after(record, folder, log);
  flush_as_wanted(record, folder, force, log);
  ask_engine(record, folder, force, log);
}

// All are tried. The exit code is that of the first that failed.
int detach_all(const RunFolder& folder, bool force, Log& log) {
  int exit_code = 0;
  for (const KnownDevice& known : folder.devices()) {
    try {
      detach_one(known, folder, force, log);
    } catch (const Failure& failure) {
      log.error(failure.what());
      if (exit_code == 0) exit_code = static_cast<int>(failure.kind());
    }
  }
  return exit_code;
}

}  // namespace

int run_detach(const DetachCommand& command, const CommonOptions& common) {
  Log log = common.log();
  const RunFolder folder;
  if (command.all) return detach_all(folder, command.force, log);
  detach_one(look_up(folder, command.target, common), folder, command.force, log);
  return 0;
}

}  // namespace nbdring
