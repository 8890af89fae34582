#include "cli/attached_device.hpp"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "cli/in_use.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"
#include "kernel/disconnect.hpp"
#include "kernel/node.hpp"
#include "kernel/sysfs.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

constexpr std::uint32_t block_size_min = 512;
constexpr std::uint32_t block_size_max = 4096;
constexpr std::chrono::seconds names_wait{10};

DeviceRecord record_of(const DeviceSettings& settings, const Export& about,
                       const Attachment& attachment) {
  DeviceRecord record = new_record(settings, about, attachment);
  if (!settings.former) return record;
  // Nobody may have told the driver of what the backend is now.
  record.size = settings.former->size;
  record.read_only = settings.former->read_only;
  record.started = settings.former->started;
  return record;
}

}  // namespace

DeviceRecord new_record(const DeviceSettings& settings, const Export& about,
                        const Attachment& attachment) {
  DeviceRecord record;
  record.index = attachment.index();
  record.id = settings.driver.identifier;
  record.name = settings.name;
  record.backend = settings.backend;
  record.configuration = settings.configuration;
  record.size = about.size - about.size % settings.driver.block_size;
  record.block_size = settings.driver.block_size;
  record.read_only = about.is_read_only();
  record.connections = settings.driver.connections;
  record.timeout = static_cast<std::uint64_t>(settings.driver.timeout.count());
  record.fresh = attachment.is_fresh();
  record.pid = ::getpid();
  record.started = std::time(nullptr);
  return record;
}

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
  const DisconnectEnd end = disconnect_index(dead.index, disconnect_wait, log);
  if (end == DisconnectEnd::done) folder.forget(dead.index);
}

AttachedDevice::AttachedDevice(Loop& loop, Backend& backend, const DeviceSettings& settings,
                               const RunFolder& folder, DeviceOwner& owner, Log& log)
    : front_(std::make_unique<DriverFront>(loop, backend, settings.driver, log)) {
  ENSURE(!settings.former);
  front_->connect();
  begin(loop, settings, folder, owner, FileDescriptor(), log);
}

AttachedDevice::AttachedDevice(Loop& loop, KeptDevice kept, const DeviceSettings& settings,
                               const RunFolder& folder, DeviceOwner& owner, Log& log)
    : front_(std::make_unique<DriverFront>(loop, std::move(kept.backend), std::move(kept.source),
                                           settings.driver, kept.link.netlink(), log)) {
  record_.keeper = kept.link.keeper();
  if (!kept.sockets.empty()) {
    front_->take_over(*settings.former, std::move(kept.sockets), kept.takes_over);
  } else if (settings.former) {
    front_->adopt(*settings.former);
  } else {
    front_->connect();
  }
  auto lock = kept.link.find(EngineLink::lock_name);
  begin(loop, settings, folder, owner, lock ? std::move(*lock) : FileDescriptor(), log);
  kept.link.keep(EngineLink::lock_name, record_file_->lock());
  kept.link.attached(record_);
}

// The names under /dev/disk/by-nbd come from the record: udev is to look once more.
void AttachedDevice::begin(Loop& loop, const DeviceSettings& settings, const RunFolder& folder,
                           DeviceOwner& owner, FileDescriptor lock, Log& log) {
  const int keeper = record_.keeper;
  record_ = record_of(settings, front_->backend().about(), front_->attachment());
  record_.keeper = keeper;
  record_file_ = std::make_unique<RecordFile>(folder, record_, std::move(lock));
  const auto taken =
      settings.former ? UnixListener::Taken::replace : UnixListener::Taken::refuse_or_remove;
  control_.emplace(folder.socket_path(record_.index), taken);
  const SessionParts parts{loop,    *front_,        front_->attachment(),
                           record_, *record_file_,  owner,
                           log,     control_->fd(), settings.bounds_log};
  session_ = std::make_unique<DeviceSession>(parts);
  if (settings.former) return;
  Sysfs().announce_change(record_.index);
  settle_udev(Deadline::in(names_wait), log);
}

AttachedDevice::~AttachedDevice() = default;

void AttachedDevice::change_record(const std::function<void(DeviceRecord&)>& change) {
  change(record_);
  record_file_->update(record_);
}

void AttachedDevice::leave() {
  front_->attachment().release();
  record_file_->hand_over();
}

}  // namespace nbdring
