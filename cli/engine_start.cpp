// From a keeper's fork to an engine that serves.

#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "backends/grow_file.hpp"
#include "backends/open.hpp"
#include "cli/direct_engine.hpp"
#include "cli/engine.hpp"
#include "cli/identity.hpp"
#include "cli/patience.hpp"
#include "cli/shelter.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono::seconds;

constexpr seconds hand_over_wait{60};  // for the engine that lives to hand the device over
// The dead engine's last write keeps the file's lock until it is done, however slow the disk is.
constexpr seconds lock_wait_after_crash{120};
constexpr seconds lock_wait_in_upgrade{10};

/// Relative paths begin where the first engine was started; nobody's file system is kept busy by
/// standing there.
class WorkingFolder {
 public:
  explicit WorkingFolder(const EngineLink& link) : leaves_(link.in_background()) {
    if (leaves_) [[maybe_unused]]
      const int moved = ::chdir(link.directory().c_str());
  }
  ~WorkingFolder() {
    if (leaves_) [[maybe_unused]]
      const int moved = ::chdir("/");
  }
  WorkingFolder(const WorkingFolder&) = delete;
  WorkingFolder& operator=(const WorkingFolder&) = delete;

 private:
  bool leaves_;
};

/// What is there of the device before this engine.
struct Beginning {
  std::optional<FormerEngine> former;
  std::vector<IdentityLock> locks;      // of a new device, until it is there
  std::vector<FileDescriptor> sockets;  // of an upgrade
  bool is_attached_already = false;
};

BackendSource source_of(const Wanted& wanted, EngineLink& link, bool is_upgrade, Log& log) {
  BackendSource source;
  source.open = [&wanted, &link, is_upgrade, &log](bool after_crash) {
    const WorkingFolder here(link);
    OpenOptions options = open_options(wanted, &link);
    options.after_crash = after_crash;
    if (after_crash) options.lock_wait = lock_wait_after_crash;
    if (is_upgrade) options.lock_wait = lock_wait_in_upgrade;
    return open_backend(wanted.spec, options, log);
  };
  source.grow = [&wanted, &link](std::uint64_t size) {
    const WorkingFolder here(link);
    grow_file(wanted.spec, size);
  };
  return source;
}

// The record in the folder is the newest: the device may have been resized since the keeper heard
// of it.
void refresh(DeviceRecord& record, const RunFolder& folder) {
  const auto known = folder.find(record.device());
  if (known && known->record.id == record.id) record = known->record;
}

Beginning wait_for_device(EngineLink& link, const RunFolder& folder) {
  Beginning beginning;
  auto message = link.ask("engine", NBDRING_VERSION, {}, {"take"}, Deadline::in(hand_over_wait));
  if (!message || message->descriptors.empty()) {
    throw Failure(FailureKind::failed, "nobody handed a device over");
  }
  beginning.former = link.former();
  beginning.sockets = std::move(message->descriptors);
  using Moment = Deadline::Clock::time_point;
  beginning.former->ended = Moment(Moment::duration(std::atoll(message->text.c_str())));
  refresh(beginning.former->record, folder);
  return beginning;
}

Beginning begin(const Wanted& wanted, EngineLink& link, const RunFolder& folder, Log& log) {
  Beginning beginning;
  if (link.former()) {
    beginning.former = link.former();
    refresh(beginning.former->record, folder);
    return beginning;
  }
  beginning.locks = lock_identity(wanted, folder);
  const auto known = attached_already(wanted, folder, log);
  if (!known) {
    link.start_afresh();
    return beginning;
  }
  beginning.is_attached_already = known->engine_lives;
  beginning.former.emplace();
  beginning.former->record = known->record;
  beginning.former->cause = "its keeper died, too";
  return beginning;
}

// Only whoever waits for a first engine is told.
void say_ready(const Wanted& wanted, const DeviceRecord& record, const std::string& log_path,
               EngineLink& link) {
  if (link.former()) return;
  const std::string said = wanted.command.as_nbd_client ? "Connected " : "";
  link.ready(said + record.device(), log_path);
}

// An engine that fails to open is started again by its keeper, once there is a device.
std::unique_ptr<Backend> open_first(const Wanted& wanted, const BackendSource& source,
                                    bool after_crash, TerminationSignals& signals, EngineLink& link,
                                    Log& log) {
  if (!wanted.command.wait || link.former()) return source.open(after_crash);
  Patience patience;
  std::unique_ptr<Backend> backend;
  patience.open = [&] { backend = source.open(after_crash); };
  patience.tell = [&link](const std::string& why) { link.notify("STATUS=waiting: " + why); };
  patience.stop_fd = signals.fd();
  open_when_reachable(patience, log);
  return backend;
}

int end_before_begin(EngineLink& link) {
  link.over();
  return 0;
}

int serve_device(const Wanted& wanted, Beginning beginning, const RunFolder& folder,
                 EngineLink& link, Log& log) {
  TerminationSignals signals;
  const auto& former = beginning.former;
  const bool is_upgrade = !beginning.sockets.empty();
  // Before the backend's server is started, which is spared as we are. Where we may not be, that is
  // said when there is a device.
  be_spared();
  BackendSource source = source_of(wanted, link, is_upgrade, log);
  auto backend = open_first(wanted, source, former && !is_upgrade, signals, link, log);
  if (!backend) return end_before_begin(link);
  const auto record = former ? std::optional(former->record) : std::nullopt;
  const DeviceSettings settings = device_settings(wanted, backend->about(), record);
  KeptDevice kept{std::move(backend), std::move(source), link, std::move(beginning.sockets),
                  [&link] { link.send("taking"); }};
  Engine engine(
      {std::move(kept), settings, folder, signals, !wanted.command.root_device, former, log});
  beginning.locks.clear();
  say_ready(wanted, engine.record(), folder.log_path(engine.record().index), link);
  const std::string device = engine.record().device();
  log.info(former ? "taken over" : "attached", {{"device", device}, {"backend", wanted.backend}});
  const int exit_code = engine.run();
  log.info("ended", {{"device", device}, {"backend", wanted.backend}});
  return exit_code;
}

// What serve_device() is for the other path.
int watch_device(const Wanted& wanted, Beginning beginning, const RunFolder& folder,
                 EngineLink& link, Log& log) {
  TerminationSignals signals;
  const bool is_new = !beginning.former;
  DirectEngine engine({wanted, link, folder, signals, std::move(beginning.former),
                       std::move(beginning.sockets), log});
  if (!engine.has_device()) return end_before_begin(link);
  beginning.locks.clear();
  const std::string device = engine.record().device();
  if (is_new) {
    log.warning(
        "--path kernel: the driver talks to the server itself; what the server has acknowledged "
        "and "
        "not flushed is lost if it crashes",
        {{"device", device}});
  }
  say_ready(wanted, engine.record(), folder.log_path(engine.record().index), link);
  log.info(is_new ? "attached" : "taken over", {{"device", device}, {"backend", wanted.backend}});
  const int exit_code = engine.run();
  log.info("ended", {{"device", device}, {"backend", wanted.backend}});
  return exit_code;
}

}  // namespace

int run_engine(const Wanted& given, EngineLink& link, Log& log) {
  const RunFolder folder;
  folder.create();
  Wanted wanted = given;
  if (wanted.id.empty()) wanted.id = default_id(wanted.spec, ::getpid(), wanted.command.layers);
  const bool is_upgrade = link.former() && link.former()->is_alive;
  Beginning beginning =
      is_upgrade ? wait_for_device(link, folder) : begin(wanted, link, folder, log);
  if (beginning.is_attached_already) {
    // The log file is that of the engine that serves it.
    link.ready(beginning.former->record.device(), "/dev/null");
    link.over();
    return 0;
  }
  if (beginning.former) wanted.id = beginning.former->record.id;
  const bool by_driver =
      beginning.former ? beginning.former->record.kernel_path : wanted.command.kernel_path;
  if (by_driver) return watch_device(wanted, std::move(beginning), folder, link, log);
  return serve_device(wanted, std::move(beginning), folder, link, log);
}

}  // namespace nbdring
