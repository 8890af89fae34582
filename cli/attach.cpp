// nbdring attach: a backend, lanes over it, and the driver in front. Each step undoes itself when a
// later one fails.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "backends/open.hpp"
#include "cli/commands.hpp"
#include "cli/config_defaults.hpp"
#include "cli/daemon.hpp"
#include "cli/device_session.hpp"
#include "cli/identity.hpp"
#include "cli/in_use.hpp"
#include "cli/listen.hpp"
#include "cli/state.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"
#include "kernel/disconnect.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::milliseconds connect_wait{60'000};
constexpr unsigned connect_tries =
    3;  // ConnectAgain: a busy machine has made its workers by the second
constexpr std::chrono::milliseconds other_attach_wait{90'000};
static_assert(other_attach_wait > connect_wait, "it may need all of its own time");
constexpr std::uint32_t block_size_max = 4096;
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

// Memory pressure may need this very device to write pages out: the engine must neither be swapped
// nor killed for it. Nor may it hold more than it needs: each stack and pool would have a huge page.
void stay_in_memory(Log& log) {
  ENSURE(::prctl(PR_SET_THP_DISABLE, 1UL, 0UL, 0UL, 0UL) == 0);
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    log.warning("the engine's memory can be swapped out", {{"reason", error_text(errno)}});
  }
  const FileDescriptor score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (!score.is_open() || ::write(score.get(), "-1000", 5) != 5) {
    log.warning("the engine can be killed when memory is short", {{"reason", error_text(errno)}});
  }
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

// The driver holds a device whose engine has died. Nobody uses it: it is in the way and nothing
// more.
void clean_up_after(const DeviceRecord& dead, const RunFolder& folder, Log& log) {
  const auto users = users_of(dead.index);
  if (!users.empty()) {
    throw Failure(FailureKind::busy, "the engine of " + dead.device() + " has died; " +
                                         in_use_text(dead.device(), users));
  }
  log.warning("cleaning up after an engine that has died", {{"device", dead.device()}});
  if (disconnect_index(dead.index, disconnect_wait, log)) folder.forget(dead.index);
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
  options.block_size = wanted.command.block_size.value_or(
      std::clamp(about.block_size.minimum, std::uint32_t{512}, block_size_max));
  options.timeout = timeout_of(wanted);
  options.recovery_window = wanted.command.recovery_window.value_or(wait_default);
  options.identifier = wanted.id;
  ENSURE(options.connections > 0 && options.timeout.count() > 0);
  return options;
}

DeviceRecord record_of(const Wanted& wanted, const Export& about, const AttachOptions& options,
                       std::uint32_t index) {
  DeviceRecord record;
  record.index = index;
  record.id = wanted.id;
  record.name = wanted.command.name;
  record.backend = wanted.backend;
  record.size = about.size - about.size % options.block_size;
  record.block_size = options.block_size;
  record.read_only = about.is_read_only();
  record.connections = options.connections;
  record.pid = ::getpid();
  record.started = std::time(nullptr);
  return record;
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

DeviceOptions device_options() {
  DeviceOptions options;
  options.io_flusher = true;
  return options;
}

/// The lanes, and the driver in front of them, which lets go while they still serve.
struct Front {
  Front(Backend& backend, const AttachOptions& options, Log& log)
      : device(backend, device_options(), log), attachment(backend.about(), options, log) {}
  Device device;
  Attachment attachment;
};

std::unique_ptr<Front> connect_front(Backend& backend, const AttachOptions& options, Log& log) {
  for (unsigned tries_left = connect_tries; true;) {
    auto front = std::make_unique<Front>(backend, options, log);
    stay_in_memory(log);
    front->device.start(front->attachment.take_lane_sockets());
    try {
      front->attachment.connect(connect_wait);
      return front;
    } catch (const ConnectAgain&) {
      if (--tries_left == 0) throw;
      log.info("the kernel is too busy to serve every connection: connecting again");
    }
  }
}

// From here to the device's end. The order of the objects matters, because they end in the reverse
// one: the driver lets go while the lanes still serve.
void serve_device(const Wanted& wanted, const RunFolder& folder, IdentityLocks locks, Log& log,
                  Announcer& announcer) {
  TerminationSignals signals;
  const auto backend = open_backend(wanted.spec, open_options(wanted), log);
  const Export& about = backend->about();

  Loop loop;
  const AttachOptions options = attach_options(wanted, about);
  const auto front = connect_front(*backend, options, log);

  const DeviceRecord record = record_of(wanted, about, options, front->attachment.index());
  RecordFile record_file(folder, record);
  const UnixListener control(folder.socket_path(record.index));
  locks.clear();
  announcer.ready(record.device(), folder.log_path(record.index));
  log.info("attached", {{"device", record.device()}, {"backend", record.backend}});
  DeviceSession session({loop, *backend, front->device, front->attachment, record, record_file,
                         signals, log, control.fd(), !wanted.command.foreground});
  loop.run(session.run());
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
