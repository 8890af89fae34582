// nbdring detach: see who uses the device, have everything written out, and let the engine
// disconnect it. Where nobody answers, and with --force where the engine does not end it in time,
// it is ended from here.

#include <unistd.h>

#include <algorithm>
#include <optional>

#include "cli/caretakers.hpp"
#include "cli/commands.hpp"
#include "cli/control.hpp"
#include "cli/device_status.hpp"
#include "cli/in_use.hpp"
#include "cli/lookup.hpp"
#include "cli/state.hpp"
#include "cli/waits.hpp"
#include "cli/write_out.hpp"
#include "client/runtime/error.hpp"
#include "kernel/disconnect.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::minutes write_out_wait{5};  // gigabytes of dirty pages may be on their way
constexpr milliseconds new_engine_wait{10'000};    // where the former one has died
constexpr milliseconds keeper_wait{5000};          // to end after its engine
constexpr milliseconds keeper_end_wait{300};       // the same, forced

// With --force everything together takes 5 s at most: what the engine does for it, and what is left
// for doing it from here.
constexpr milliseconds forced_wait{4700};
constexpr milliseconds from_here_wait{1700};
constexpr milliseconds forced_answer_wait{1200};
constexpr milliseconds forced_write_out_wait{700};
constexpr milliseconds kill_wait{700};
constexpr milliseconds disconnect_least{1500};  // on a machine so busy that all else took too long
static_assert(kill_wait < from_here_wait && from_here_wait < forced_wait);

class Detach {
 public:
  Detach(const RunFolder& folder, bool force, Log& log)
      : folder_(folder), force_(force), log_(log) {}

  void end(const KnownDevice& known) {
    const DeviceRecord& record = known.record;
    if (!force_) refuse_users(record.index);
    if (!known.engine_lives) {
      if (record.kernel_path) {  // which serves all the same
        if (!force_) write_out(record.device(), write_out_wait, log_);
      } else {
        log_.warning("the engine had died: what it had not written is lost",
                     {{"device", record.device()}});
      }
      return end_without_engine(record.index, force_ ? forced_wait : disconnect_wait);
    }
    force_ ? force_end(record) : end_in_order(record);
  }

  /// A device without a record: another tool's, or what is left where somebody has emptied
  /// /run/nbdring.
  void end_unknown(const DriverDevice& device) {
    const std::string path = "/dev/" + device_name(device.index);
    const bool has_server = ::access(("/proc/" + std::to_string(device.thread)).c_str(), F_OK) == 0;
    if (!force_ && (has_server || device.backend.empty())) {
      throw Failure(FailureKind::not_found,
                    path +
                        " is attached, but not by nbdring; end it with the program that "
                        "attached it, or with --force");
    }
    if (!force_) refuse_users(device.index);
    log_.warning("nobody of ours serves this device: ending it from here", {{"device", path}});
    end_without_engine(device.index, force_ ? forced_wait : disconnect_wait);
  }

 private:
  void refuse_users(std::uint32_t index) const {
    const auto users = lasting_users_of(index, Deadline::in(passing_user_wait));
    if (users.empty()) return;
    throw Failure(FailureKind::busy, in_use_text("/dev/" + device_name(index), users));
  }

  void end_in_order(const DeviceRecord& record);
  void force_end(const DeviceRecord& record);
  void force_inside(const DeviceRecord& record, Deadline deadline);
  void end_from_here(const DeviceRecord& record, Deadline deadline);
  void end_without_engine(std::uint32_t index, milliseconds wait);

  std::string away_text(const DeviceRecord& record, milliseconds wait) const;
  ControlReply ask(ControlConnection& engine, Deadline deadline) const;
  void wait_for_gateway(const DeviceRecord& record, const std::string& body) const;

  const RunFolder& folder_;
  bool force_;
  Log& log_;
};

// What holds the bytes is away: nothing can be written out, and trying would only wait for it.
std::string Detach::away_text(const DeviceRecord& record, milliseconds wait) const {
  ControlConnection engine(folder_.socket_path(record.index));
  const auto status = status_from_json(engine.ask(ControlRequest(), Deadline::in(wait)).body);
  if (!status || status->remote.state.empty() || status->remote.state == "serving") return "";
  const BackendHealth& remote = status->remote;
  const std::string away = remote.endpoint + " is away (" + remote.last_reason + ")";
  if (record.kernel_path) return away;
  return away + ": " + std::to_string(remote.volatile_writes) +
         " acknowledged writes are not flushed";
}

ControlReply Detach::ask(ControlConnection& engine, Deadline deadline) const {
  const ControlRequest request{ControlRequest::Command::detach, force_};
  ControlReply reply = engine.ask(request, deadline);
  if (reply.exit_code != 0) {
    throw Failure(static_cast<FailureKind>(reply.exit_code), reply.error);
  }
  if (!reply.error.empty()) log_.warning(reply.error);
  return reply;
}

void Detach::end_in_order(const DeviceRecord& record) {
  const std::string device = record.device();
  const FileDescriptor keeper = keeper_of(record, folder_);
  std::optional<ControlConnection> engine;
  const auto answers = [&] {
    try {
      engine.emplace(folder_.socket_path(record.index));
      return true;
    } catch (const Failure&) {
      return false;
    }
  };
  if (!wait_until(answers, Deadline::in(new_engine_wait))) {
    throw Failure(FailureKind::failed, "the engine of " + device +
                                           " has died, and no other one has come within " +
                                           "10 s; try again, or detach it with --force");
  }
  const std::string away = away_text(record, engine_wait);
  if (!away.empty()) {
    throw Failure(FailureKind::failed, "cannot write " + device + " out: " + away +
                                           "; wait for it, or detach with --force and lose them");
  }
  write_out(device, write_out_wait, log_);
  engine.emplace(folder_.socket_path(record.index));
  const ControlReply reply = ask(*engine, Deadline::in(engine_wait));
  if (!reply.body.empty()) return wait_for_gateway(record, reply.body);
  if (!engine->wait_for_engine_end(Deadline::in(engine_wait))) {
    throw Failure(FailureKind::failed, device + " is detached, but its engine (pid " +
                                           std::to_string(record.pid) + ") does not end");
  }
  if (!wait_for_end(keeper, Deadline::in(keeper_wait))) {
    log_.warning(device + " is detached, but its keeper does not end",
                 {{"pid", std::to_string(record.keeper)}});
  }
}

void Detach::force_end(const DeviceRecord& record) {
  const Deadline all = Deadline::in(forced_wait);
  try {
    return force_inside(record, all.at_most(forced_wait - from_here_wait));
  } catch (const Failure& failure) {
    if (!record.configuration.empty()) throw;
    log_.warning("ending " + record.device() + " from here", {{"why", failure.what()}});
  }
  end_from_here(record, all);
}

// What can be written out in a moment is not lost.
void Detach::force_inside(const DeviceRecord& record, Deadline deadline) {
  const FileDescriptor keeper = keeper_of(record, folder_);
  const std::string away = away_text(record, forced_answer_wait);
  if (!away.empty()) {
    log_.warning("what " + record.device() + " had not written is lost: " + away);
  } else {
    try {
      write_out(record.device(), forced_write_out_wait, log_);
    } catch (const Failure& failure) {
      log_.warning(failure.what());
    }
  }
  ControlConnection engine(folder_.socket_path(record.index));
  const ControlReply reply = ask(engine, deadline);
  if (!reply.body.empty()) return wait_for_gateway(record, reply.body);
  const bool ended = engine.wait_for_engine_end(deadline);
  if (!wait_for_end(keeper, deadline.at_most(keeper_end_wait))) end_keeper(keeper);
  if (ended) return;
  engine.kill_engine();
  log_.warning("killed the engine, which hangs in its backend; it ends when that answers",
               {{"device", record.device()}, {"pid", std::to_string(record.pid)}});
}

void Detach::end_from_here(const DeviceRecord& record, Deadline deadline) {
  if (!end_caretakers(record, folder_, deadline.at_most(kill_wait), log_)) {
    log_.warning(
        "a process of the device hangs in the kernel; `nbdring list` shows it until it ends",
        {{"device", record.device()}});
  }
  end_without_engine(record.index, std::max(deadline.remaining(), disconnect_least));
}

void Detach::end_without_engine(std::uint32_t index, milliseconds wait) {
  const std::string device = "/dev/" + device_name(index);
  switch (disconnect_index(index, wait, log_)) {
    case DisconnectEnd::done:
      return folder_.forget(index);
    case DisconnectEnd::held:
      if (!force_) throw Failure(FailureKind::failed, held_text(device));
      return log_.warning(held_text(device));
    case DisconnectEnd::stuck:
      throw Failure(FailureKind::failed, device +
                                             " is not detached: the driver does not answer; "
                                             "look for 'nbd' in dmesg");
    case DisconnectEnd::refused:
      throw Failure(FailureKind::failed, device + " is not detached: the driver refused");
  }
}

// A gateway's engine goes on when the device has ended, which takes as long as its stop hooks do.
void Detach::wait_for_gateway(const DeviceRecord& record, const std::string& body) const {
  const auto within = ends_within(body);
  if (!within) throw Failure(FailureKind::failed, "the gateway speaks another version's language");
  bool is_held = false;
  const auto has_ended = [&] {
    const auto known = folder_.find(record.device());
    const bool is_the_same =
        known && known->record.id == record.id && known->record.started == record.started;
    is_held = is_the_same && !known->engine_lives;
    return !is_the_same || is_held;
  };
  if (!wait_until(has_ended, Deadline::in(*within))) {
    throw Failure(FailureKind::failed, record.device() + " is not detached after " +
                                           std::to_string(within->count()) +
                                           " s; see the gateway's log");
  }
  if (is_held && !force_) throw Failure(FailureKind::failed, held_text(record.device()));
}

}  // namespace

int run_detach(const DetachCommand& command, const CommonOptions& common) {
  Log log = common.log();
  const RunFolder folder;
  Detach detach(folder, command.force, log);
  if (command.all) {
    return with_each_device(folder, log, [&](const KnownDevice& known) { detach.end(known); });
  }
  const auto index = device_index(command.target);
  const auto device = index ? Sysfs().device(*index) : std::nullopt;
  if (device && device->attached && !folder.find(command.target)) {
    detach.end_unknown(*device);
  } else {
    detach.end(look_up(folder, command.target, common));
  }
  return 0;
}

}  // namespace nbdring
