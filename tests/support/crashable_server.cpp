#include "tests/support/crashable_server.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "client/engine/lane.hpp"
#include "client/transport/socket.hpp"
#include "tests/support/fixtures.hpp"

namespace nbdring {

class CrashableLane final : public BackendLane {
 public:
  CrashableLane(Loop& loop, CrashableDisk& disk) : loop_(loop), disk_(disk) {}

  FramePool& frames() override { return loop_.frames(); }

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    const std::lock_guard guard(disk_.lock_);
    if (disk_.is_dead_) co_return Status::from_errno(EIO);
    std::memcpy(buffer.data(), disk_.contents_.data() + offset, buffer.size());
    co_return Status::ok();
  }
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
    const std::lock_guard guard(disk_.lock_);
    if (disk_.is_dead_) co_return Status::from_errno(EIO);
    std::memcpy(disk_.contents_.data() + offset, buffer.data(), buffer.size());
    settle(offset, buffer.size(), fua);
    co_return Status::ok();
  }
  Task<Status> flush() override {
    const std::lock_guard guard(disk_.lock_);
    if (disk_.is_dead_) co_return Status::from_errno(EIO);
    ++disk_.flushes_;
    if (disk_.flush_error_ != 0) co_return Status::from_errno(disk_.flush_error_);
    disk_.stable_ = disk_.contents_;
    co_return Status::ok();
  }
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override {
    co_return zero(offset, length, fua);
  }
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
    co_return zero(offset, length, mode.fua);
  }
  Task<Status> extents(std::uint64_t, std::uint64_t length, ExtentList& list) override {
    list.descriptors[0] = nbd::Extent{static_cast<std::uint32_t>(length), 0};
    list.used = 1;
    co_return Status::ok();
  }

 private:
  Status zero(std::uint64_t offset, std::uint64_t length, bool fua) {
    const std::lock_guard guard(disk_.lock_);
    if (disk_.is_dead_) return Status::from_errno(EIO);
    std::memset(disk_.contents_.data() + offset, 0, length);
    settle(offset, length, fua);
    return Status::ok();
  }
  void settle(std::uint64_t offset, std::uint64_t length, bool fua) {
    if (!fua) return;
    std::memcpy(disk_.stable_.data() + offset, disk_.contents_.data() + offset, length);
  }

  Loop& loop_;
  CrashableDisk& disk_;
};

CrashableDisk::CrashableDisk(const Export& about)
    : about_(about), contents_(about.size), stable_(about.size) {}

std::unique_ptr<BackendLane> CrashableDisk::open_lane(Loop& loop) {
  return std::make_unique<CrashableLane>(loop, *this);
}

void CrashableDisk::die() {
  const std::lock_guard guard(lock_);
  is_dead_ = true;
}

void CrashableDisk::revive() {
  const std::lock_guard guard(lock_);
  contents_ = stable_;
  is_dead_ = false;
}

void CrashableDisk::set_about(const Export& about) {
  const std::lock_guard guard(lock_);
  about_ = about;
  contents_.resize(about.size);
  stable_.resize(about.size);
}

std::vector<std::byte> CrashableDisk::stable(std::uint64_t offset, std::size_t length) const {
  const std::lock_guard guard(lock_);
  const auto begin = stable_.begin() + static_cast<std::ptrdiff_t>(offset);
  return {begin, begin + static_cast<std::ptrdiff_t>(length)};
}

std::vector<std::byte> CrashableDisk::contents(std::uint64_t offset, std::size_t length) const {
  const std::lock_guard guard(lock_);
  const auto begin = contents_.begin() + static_cast<std::ptrdiff_t>(offset);
  return {begin, begin + static_cast<std::ptrdiff_t>(length)};
}

/// A connection's far end: our own lane, on a thread of its own.
struct CrashableServer::Client {
  Client(Backend& backend, FileDescriptor socket) : copy(::dup(socket.get())) {
    thread = std::make_unique<LaneThread>(
        LaneThreadOptions{"crashable", false}, std::move(socket),
        [this, &backend](Loop& loop, Stream& stream) { return serve(loop, stream, backend); },
        [this](const std::exception_ptr&) { has_ended = true; });
  }
  Task<void> serve(Loop& loop, Stream& stream, Backend& backend) {
    const auto lane_backend = backend.open_lane(loop);
    LaneOptions options;
    options.populate = false;
    LaneStats stats;
    const TransmissionOptions simple;
    Lane lane(loop, stream, *lane_backend, backend.about(), simple, options, stats);
    co_await lane.run();
  }

  // At once, so that nothing that is answered from now on is heard of.
  void cut() { ::shutdown(copy.get(), SHUT_RDWR); }

  FileDescriptor copy;
  std::atomic<bool> has_ended{false};
  std::unique_ptr<LaneThread> thread;
};

namespace {

Export export_of(std::uint64_t size, std::uint16_t flags) {
  Export about;
  about.name = "crashable";
  about.size = size;
  about.transmission_flags = flags;
  return about;
}

}  // namespace

CrashableServer::CrashableServer(std::uint64_t size, std::uint16_t flags)
    : disk_(export_of(size, flags)) {
  gated_.open_gate();
}

CrashableServer::~CrashableServer() {
  stall(false);
  cut();
}

void CrashableServer::cut() {
  const std::lock_guard guard(lock_);
  for (const auto& client : clients_) client->cut();
  clients_.clear();  // joins
}

void CrashableServer::crash() {
  {
    const std::lock_guard guard(lock_);
    is_up_ = false;
    for (const auto& client : clients_) client->cut();
  }
  disk_.die();
  stall(false);
  cut();
}

void CrashableServer::start() {
  disk_.revive();
  const std::lock_guard guard(lock_);
  is_up_ = true;
}

void CrashableServer::stall(bool stalls) {
  const std::lock_guard guard(lock_);
  if (stalls == is_stalled_) return;
  is_stalled_ = stalls;
  stalls ? gated_.close_gate() : gated_.open_gate();
}

std::size_t CrashableServer::connections() {
  const std::lock_guard guard(lock_);
  clients_.remove_if([](const auto& client) { return client->has_ended.load(); });
  return clients_.size();
}

Dialled CrashableServer::connect(Loop& loop) {
  ++dials_;
  const std::size_t connected = connections();
  const std::lock_guard guard(lock_);
  if (!is_up_) throw Failure(FailureKind::unreachable, "the test's server is away");
  if (connected >= connections_max_) {
    throw Failure(FailureKind::unreachable, "the test's server takes no more connections");
  }
  SocketPair sockets;
  clients_.push_back(std::make_unique<Client>(gated_, std::move(sockets.far)));
  Dialled dialled;
  dialled.socket = std::make_unique<SocketStream>(loop, std::move(sockets.near));
  dialled.about = disk_.about();
  return dialled;
}

}  // namespace nbdring
