#include "cli/driver_front.hpp"

#include <unistd.h>

#include <utility>

#include "cli/channel.hpp"
#include "cli/shelter.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// ConnectAgain: a busy machine has made its workers by the second.
constexpr unsigned connect_tries = 3;

DeviceOptions device_options(const AttachOptions& driver) {
  DeviceOptions options;
  options.io_flusher = true;
  options.suspect_after = std::chrono::duration_cast<Clock::duration>(driver.timeout) / 2;
  return options;
}

/// Stands where the backend was while nothing is served.
class NoBackend final : public Backend {
 public:
  explicit NoBackend(Export about) : about_(std::move(about)) {}
  const Export& about() const override { return about_; }
  std::unique_ptr<BackendLane> open_lane(Loop&) override {
    throw Failure(FailureKind::failed, "there is no backend at the moment");
  }

 private:
  Export about_;
};

}  // namespace

DriverFront::DriverFront(Loop& loop, Backend& backend, const AttachOptions& options, Log& log)
    : loop_(loop), options_(options), log_(log), backend_(&backend) {}

DriverFront::DriverFront(Loop& loop, std::unique_ptr<Backend> backend, BackendSource source,
                         const AttachOptions& options, FileDescriptor netlink, Log& log)
    : loop_(loop),
      options_(options),
      log_(log),
      netlink_(std::move(netlink)),
      source_(std::move(source)),
      owned_(std::move(backend)),
      backend_(owned_.get()) {
  ENSURE(backend_ != nullptr && source_.open && source_.grow);
}

DriverFront::~DriverFront() = default;

void DriverFront::make_attachment() {
  FileDescriptor netlink;
  if (netlink_.is_open()) netlink = duplicate(netlink_.get());
  attachment_ = std::make_unique<Attachment>(backend_->about(), options_, log_, std::move(netlink));
}

void DriverFront::start_lanes(std::vector<FileDescriptor> sockets) {
  ENSURE(!lanes_);
  auto lanes = std::make_unique<Device>(*backend_, device_options(options_), log_);
  lanes->start(std::move(sockets));
  lanes_ = std::move(lanes);
}

void DriverFront::connect() {
  for (unsigned tries_left = connect_tries; true;) {
    make_attachment();
    stay_in_memory(log_);
    start_lanes(attachment_->take_lane_sockets());
    try {
      return attachment_->connect(attach_wait);
    } catch (const ConnectAgain&) {
      if (--tries_left == 0) throw;
      log_.info("the kernel is too busy to serve every connection: connecting again");
    }
    attachment_.reset();
    lanes_.reset();
  }
}

void DriverFront::adopt(const DeviceRecord& former) {
  make_attachment();
  stay_in_memory(log_);
  start_lanes(attachment_->take_lane_sockets());
  attachment_->adopt(former.index, former.fresh, attach_wait);
}

void DriverFront::take_over(const DeviceRecord& former, std::vector<FileDescriptor> sockets,
                            const std::function<void()>& begins) {
  make_attachment();
  stay_in_memory(log_);
  begins();
  start_lanes(std::move(sockets));
  attachment_->take_over(former.index, former.fresh);
}

// Whoever waits for the lanes' attention is woken, and asks again when there are others.
void DriverFront::put_away_lanes() {
  loop_.cancel(lanes_->attention_fd());
  auto nothing = std::make_unique<NoBackend>(backend_->about());
  lanes_.reset();
  owned_ = std::move(nothing);
  backend_ = owned_.get();
  lanes_ = std::make_unique<Device>(*backend_, device_options(options_), log_);
}

std::vector<FileDescriptor> DriverFront::hand_over(Deadline deadline) {
  if (!source_.open) {
    throw Failure(FailureKind::failed, "its backend is that of the process that serves it");
  }
  if (!lanes_->pause(deadline.moment())) {
    throw Failure(
        FailureKind::busy,
        "its requests do not come to an end (is the backend away, or a connection lost?); "
        "see `nbdring status`, and try again");
  }
  std::vector<FileDescriptor> sockets = lanes_->take_sockets();
  put_away_lanes();
  return sockets;
}

void DriverFront::go_on(std::vector<FileDescriptor> sockets) {
  auto opened = source_.open(false);
  if (opened->about().block_size.minimum > options_.block_size) {
    throw Failure(FailureKind::failed, "the backend's blocks are larger than the device's now");
  }
  loop_.cancel(lanes_->attention_fd());
  lanes_.reset();
  owned_ = std::move(opened);
  backend_ = owned_.get();
  start_lanes(std::move(sockets));
}

// A backend that cannot be opened again leaves no way on here: the keeper's next engine tries until
// it can be, and the driver's requests wait for that.
std::uint64_t DriverFront::swap_backend(Deadline deadline) {
  const bool was_read_only = backend_->about().is_read_only();
  std::vector<FileDescriptor> sockets = hand_over(deadline);
  try {
    go_on(std::move(sockets));
  } catch (const Failure& failure) {
    lost_ = failure;
    throw Failure(failure.kind(),
                  std::string(failure.what()) +
                      "; another engine adopts the device when its backend can be opened");
  }
  if (backend_->about().is_read_only() && !was_read_only) {
    throw Failure(FailureKind::failed, "the backend is read-only now: writes fail");
  }
  return backend_->about().size;
}

void DriverFront::grow_backend(std::uint64_t size) {
  if (!source_.grow) {
    throw Failure(FailureKind::failed, "its backend is that of the process that serves it");
  }
  source_.grow(size);
}

}  // namespace nbdring
