// nbdring attach: a backend, lanes over it, and the driver in front. Each step undoes itself when a
// later one fails.

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <vector>

#include "backends/open.hpp"
#include "cli/attached_device.hpp"
#include "cli/commands.hpp"
#include "cli/config_defaults.hpp"
#include "cli/daemon.hpp"
#include "cli/identity.hpp"
#include "cli/notify.hpp"
#include "cli/root_device.hpp"
#include "cli/signals.hpp"
#include "cli/state.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::milliseconds other_attach_wait{90'000};
static_assert(other_attach_wait > attach_wait, "it may need all of its own time");
constexpr std::chrono::seconds wait_default{30};  // --timeout and --recovery-window
// The driver gives a request of a remote backend up only when the backend should long have done so:
// its requests wait for the server, and a connection that the driver shoots for that is lost.
constexpr std::chrono::seconds after_window{60};
constexpr std::chrono::seconds for_ever{86'400};

/// What the user asked for, with everything filled in.
struct Wanted {
  const AttachCommand& command;
  BackendSpec spec;
  std::string id;
  std::string backend;  // canonical
  bool read_only;
};

bool asks_for_read_only(const AttachCommand& command, const BackendSpec& spec) {
  const auto* file = std::get_if<FileSpec>(&spec.form);
  return command.read_only || (file != nullptr && file->read_only);
}

// The same identity must mean the same device: other bytes, or another mode, under it is a mistake.
void check_same(const DeviceRecord& attached, const Wanted& wanted) {
  std::string differs;
  if (attached.backend != wanted.backend) differs = "with the backend " + attached.backend;
  // Behind layers, and at a server, only the open backend tells whether it can be written to.
  const bool tells_itself = wanted.command.layers.empty() && !can_go_away(wanted.spec.form);
  const bool is_known = tells_itself || wanted.command.read_only;
  if (is_known && attached.read_only != wanted.read_only)
    differs = attached.read_only ? "read-only" : "writable";
  const auto& index = wanted.command.index;
  if (index && *index != attached.index) differs = "there and not at /dev/" + device_name(*index);
  if (!wanted.command.name.empty() && wanted.command.name != attached.name) {
    differs = attached.name.empty() ? "without a name" : "as " + attached.name;
  }
  if (differs.empty()) return;
  throw Failure(FailureKind::busy, "'" + attached.id + "' is attached already at " +
                                       attached.device() + ", " + differs +
                                       "; detach it first, or give another --id");
}

/// The device on which the identity is attached already, if it is.
std::optional<std::string> attached_already(const Wanted& wanted, const RunFolder& folder,
                                            Log& log) {
  for (const auto& [record, engine_lives] : folder.devices()) {
    const bool same_name = !wanted.command.name.empty() && record.name == wanted.command.name;
    if (record.id == wanted.id && engine_lives) {
      check_same(record, wanted);
      return record.device();
    }
    if (record.id == wanted.id) {
      clean_up_after(record, folder, log);
    } else if (same_name) {
      throw Failure(FailureKind::busy, "the name '" + record.name + "' is that of " +
                                           record.device() + "; choose another");
    }
  }
  return std::nullopt;
}

unsigned connections_here() { return std::clamp(std::thread::hardware_concurrency(), 1U, 4U); }

std::chrono::seconds timeout_of(const Wanted& wanted) {
  if (wanted.command.timeout) return *wanted.command.timeout;
  if (!can_go_away(wanted.spec.form)) return wait_default;
  const auto& window = wanted.command.recovery_window;
  return window ? *window + after_window : for_ever;
}

OpenOptions open_options(const Wanted& wanted) {
  OpenOptions options;
  options.read_only = wanted.command.read_only;
  options.layers = wanted.command.layers;
  options.tls = wanted.command.tls;
  options.lanes = wanted.command.connections.value_or(connections_here());
  if (wanted.command.recovery_window) options.recovery_window = *wanted.command.recovery_window;
  options.io_flusher = true;
  return options;
}

AttachOptions attach_options(const Wanted& wanted, const Export& about) {
  AttachOptions options;
  options.index = wanted.command.index;
  options.connections = wanted.command.connections.value_or(connections_here());
  options.block_size = wanted.command.block_size.value_or(block_size_for(about));
  options.timeout = timeout_of(wanted);
  options.recovery_window = wanted.command.recovery_window.value_or(wait_default);
  options.identifier = wanted.id;
  ENSURE(options.connections > 0 && options.timeout.count() > 0);
  return options;
}

using IdentityLocks = std::vector<IdentityLock>;

IdentityLocks lock_identity(const Wanted& wanted, const RunFolder& folder) {
  const Deadline others = Deadline::in(other_attach_wait);
  IdentityLocks locks;
  locks.emplace_back(folder, IdentityLock::Of::id, wanted.id, others);
  if (!wanted.command.name.empty()) {
    locks.emplace_back(folder, IdentityLock::Of::name, wanted.command.name, others);
  }
  return locks;
}

DeviceSettings device_settings(const Wanted& wanted, const Export& about) {
  DeviceSettings settings;
  settings.driver = attach_options(wanted, about);
  settings.name = wanted.command.name;
  settings.backend = wanted.backend;
  settings.bounds_log = !wanted.command.foreground;
  return settings;
}

/// The device is all that this process is there for. SIGTERM and SIGINT ask for its end; a second
/// one forces it, but never where the root file system may be on it: at shutdown everybody gets
/// one.
class Engine final : private DeviceOwner {
 public:
  Engine(Backend& backend, const DeviceSettings& settings, const RunFolder& folder,
         TerminationSignals& signals, bool may_force, Log& log)
      : signals_(signals),
        may_force_(may_force),
        log_(log),
        device_(loop_, backend, settings, folder, *this, log) {}

  const DeviceRecord& record() const { return device_.record(); }
  void run() { loop_.run(serve()); }
  FramePool& frames() { return loop_.frames(); }

 private:
  Task<void> serve() {
    Scope scope(frames());
    scope.spawn(watch_signals());
    co_await device_.run();
    is_over_ = true;
    loop_.cancel(signals_.fd());
    co_await scope.join();
  }

  Task<void> watch_signals() {
    bool asked_before = false;
    while (!is_over_) {
      const int result = co_await loop_.readable(signals_.fd());
      if (result < 0) break;
      if (signals_.take() == 0) continue;
      const ControlReply reply = device_.session().detach(asked_before);
      if (!reply.error.empty()) log_.warning(reply.error);
      if (device_.session().is_disconnected()) device_.session().finish();
      asked_before = may_force_;
    }
  }

  std::optional<ControlReply> ending() override {
    notify_stopping();
    return std::nullopt;
  }
  void complete(DeviceStatus&) const override {}

  TerminationSignals& signals_;
  bool may_force_;
  Log& log_;
  Loop loop_;
  AttachedDevice device_;
  bool is_over_ = false;
};

// From here to the device's end.
void serve_device(const Wanted& wanted, const RunFolder& folder, IdentityLocks locks, Log& log,
                  Announcer& announcer) {
  TerminationSignals signals;
  const auto backend = open_backend(wanted.spec, open_options(wanted), log);
  Engine engine(*backend, device_settings(wanted, backend->about()), folder, signals,
                !wanted.command.root_device, log);
  const DeviceRecord& record = engine.record();
  locks.clear();
  announcer.ready(record.device(), folder.log_path(record.index));
  log.info("attached", {{"device", record.device()}, {"backend", record.backend}});
  engine.run();
  log.info("ended", {{"device", record.device()}, {"backend", record.backend}});
}

int run_engine(const Wanted& wanted, const CommonOptions& common, Announcer& announcer) {
  Log log = common.log();
  const RunFolder folder;
  folder.create();
  IdentityLocks locks = lock_identity(wanted, folder);
  if (const auto device = attached_already(wanted, folder, log)) {
    announcer.ready(*device, "/dev/null");  // the log file is that of the engine that serves it
    return 0;
  }
  serve_device(wanted, folder, std::move(locks), log, announcer);
  return 0;
}

}  // namespace

int run_attach(const AttachCommand& given, const CommonOptions& common) {
  if (::geteuid() != 0) {
    throw Failure(FailureKind::cannot_attach,
                  "attaching needs root; run it with sudo, or try `nbdring serve`, which does not");
  }
  Log log = common.log();
  const Config config = config_of(common, log);
  const BackendSpec spec = backend_from(given.backend, config, common, log);
  const AttachCommand command = with_defaults(given, spec.form, config);
  if (command.root_device) mark_for_final_kill();
  const auto engine = [&](Announcer& announcer) {
    const auto& layers = command.layers;
    const std::string id = command.id.empty() ? default_id(spec, ::getpid(), layers) : command.id;
    const Wanted wanted{command, spec, id, canonical_text(spec, layers),
                        asks_for_read_only(command, spec)};
    return run_engine(wanted, common, announcer);
  };
  return command.foreground ? run_in_foreground(engine) : run_in_background(engine);
}

}  // namespace nbdring
