#include "cli/attached_device.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "cli/in_use.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"
#include "kernel/disconnect.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

constexpr unsigned connect_tries =
    3;  // ConnectAgain: a busy machine has made its workers by the second
constexpr std::uint32_t block_size_min = 512;
constexpr std::uint32_t block_size_max = 4096;

// Memory pressure may need this very device to write pages out: the engine must neither be swapped
// nor killed for it. Nor may it hold more than it needs: each stack and pool would have a huge
// page.
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

DeviceOptions device_options() {
  DeviceOptions options;
  options.io_flusher = true;
  return options;
}

DeviceRecord record_of(const DeviceSettings& settings, const Export& about, std::uint32_t index) {
  DeviceRecord record;
  record.index = index;
  record.id = settings.driver.identifier;
  record.name = settings.name;
  record.backend = settings.backend;
  record.configuration = settings.configuration;
  record.size = about.size - about.size % settings.driver.block_size;
  record.block_size = settings.driver.block_size;
  record.read_only = about.is_read_only();
  record.connections = settings.driver.connections;
  record.pid = ::getpid();
  record.started = std::time(nullptr);
  return record;
}

}  // namespace

std::uint32_t block_size_for(const Export& about) {
  return std::clamp(about.block_size.minimum, block_size_min, block_size_max);
}

void clean_up_after(const DeviceRecord& dead, const RunFolder& folder, Log& log) {
  const auto users = users_of(dead.index);
  if (!users.empty()) {
    throw Failure(FailureKind::busy, "the engine of " + dead.device() + " has died; " +
                                         in_use_text(dead.device(), users));
  }
  log.warning("cleaning up after an engine that has died", {{"device", dead.device()}});
  if (disconnect_index(dead.index, disconnect_wait, log)) folder.forget(dead.index);
}

/// The lanes, and the driver in front of them.
struct AttachedDevice::Front final : public ServedDevice {
  Front(Backend& served, const AttachOptions& options, Log& log)
      : behind(served),
        lanes(served, device_options(), log),
        attachment(served.about(), options, log) {}

  Backend& backend() override { return behind; }
  Device& device() override { return lanes; }
  std::uint64_t swap_backend(Deadline) override { return behind.about().size; }
  void grow_backend(std::uint64_t) override {}

  Backend& behind;
  Device lanes;
  Attachment attachment;
};

std::unique_ptr<AttachedDevice::Front> AttachedDevice::connect_front(Backend& backend,
                                                                     const AttachOptions& options,
                                                                     Log& log) {
  for (unsigned tries_left = connect_tries; true;) {
    auto front = std::make_unique<Front>(backend, options, log);
    stay_in_memory(log);
    front->lanes.start(front->attachment.take_lane_sockets());
    try {
      front->attachment.connect(attach_wait);
      return front;
    } catch (const ConnectAgain&) {
      if (--tries_left == 0) throw;
      log.info("the kernel is too busy to serve every connection: connecting again");
    }
  }
}

AttachedDevice::AttachedDevice(Loop& loop, Backend& backend, const DeviceSettings& settings,
                               const RunFolder& folder, DeviceOwner& owner, Log& log)
    : front_(connect_front(backend, settings.driver, log)),
      record_(record_of(settings, backend.about(), front_->attachment.index())),
      record_file_(std::make_unique<RecordFile>(folder, record_)),
      control_(folder.socket_path(record_.index)) {
  const SessionParts parts{loop, *front_,       front_->attachment, record_, *record_file_, owner,
                           log,  control_.fd(), settings.bounds_log};
  session_ = std::make_unique<DeviceSession>(parts);
}

AttachedDevice::~AttachedDevice() = default;

}  // namespace nbdring
