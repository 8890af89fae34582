#pragma once
// The seam of the project: what stores the bytes. A file, memory, a remote export, a layer over
// another backend.
//
// A Backend exists once per device and is used by every lane's thread, so it is constant after
// construction. What a lane needs for itself (a ring to submit to, a connection) is its
// BackendLane, opened and used on the lane's own thread.
//
// Requests are checked at the edge (client/protocol/request.hpp): below it offset + length lies
// within the export, length is not 0, and both are multiples of the minimum block size. Backends
// hold these facts with ENSURE and do not check them again. Every operation ends with a Status;
// none throws, none allocates once the lane serves.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "client/engine/arrival_pipe.hpp"
#include "client/engine/backend_health.hpp"
#include "client/engine/page_lender.hpp"
#include "client/protocol/export.hpp"
#include "client/protocol/nbd.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/task.hpp"

namespace nbdring {

/// How a WRITE_ZEROES is to be done (command flags of the same names).
struct ZeroMode {
  bool fua = false;
  bool no_hole = false;    // the range must stay allocated
  bool fast_zero = false;  // fail with ENOTSUP rather than write zeros
};

/// What an extents() call fills: at most descriptors.size(), used says how many.
struct ExtentList {
  std::span<nbd::Extent> descriptors;
  std::size_t used = 0;
};

/// One lane's part of a backend. All calls on the lane's thread; many may be under way at once,
/// each on its own buffer.
class BackendLane {
 public:
  virtual ~BackendLane() = default;

  virtual Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) = 0;
  virtual Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) = 0;
  /// Ends when every write that ended before, on any lane, is on stable storage.
  virtual Task<Status> flush() = 0;
  virtual Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) = 0;
  virtual Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) = 0;
  /// Which parts of the range are holes that read as zeros (base:allocation). At least one
  /// descriptor.
  virtual Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) = 0;

  /// Null: this lane lends no pages. Asked for before the first request.
  virtual PageLender* lender() noexcept { return nullptr; }

  /// True: reads that pages can take the place of may be asked for by read_pages(). Asked before
  /// the first request.
  virtual bool passes_pages_on() noexcept { return false; }
  /// As read(). Ends with the payload in the arrival's pipe or in the buffer. Whoever awaits it
  /// takes the payload out of the pipe before awaiting anything else.
  virtual Task<Status> read_pages(std::uint64_t offset, std::span<std::byte> buffer,
                                  Arrival& /*arrival*/) {
    return read(offset, buffer);
  }

  /// Called once, when no request is under way and none will come: the good end of whatever the
  /// lane holds open. Acknowledged writes of this lane are on stable storage after it, or the
  /// Status says that they may not be.
  virtual Task<Status> close() { co_return Status::ok(); }

  /// The connection that the requests under way came by is lost: nobody waits for their answers.
  /// What has not begun ends with ECANCELED soon; what has begun ends when it is done, or is known
  /// never to be done. None comes after it but close(), when all have ended; the other lanes serve
  /// on meanwhile.
  virtual void give_up() noexcept {}

  /// Coroutine frames come from the lane's loop.
  virtual FramePool& frames() = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// Size, flags and block size constraints of what is served. Constant.
  virtual const Export& about() const = 0;

  /// Called on the lane's thread before it serves. May throw a Failure.
  virtual std::unique_ptr<BackendLane> open_lane(Loop& loop) = 0;

  /// Any thread: nothing waits for a peer that is away any more. What does, and what comes later,
  /// fails with EIO at once. For a device that has to end now.
  virtual void abandon() noexcept {}

  /// Any thread but a lane's: it may wait for a lock.
  virtual BackendHealth health() const { return {}; }
};

}  // namespace nbdring
