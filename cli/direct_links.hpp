#pragma once
// The connections of a device whose driver talks to the server itself (attach --path=kernel):
// watched, and replaced where one has ended.
//
// We keep a descriptor of each socket that the driver has, never read from it and set nothing on
// it: it shows the connection's end, whoever ended it, and lets us end it. So do the keepsakes:
// where an engine dies the driver goes on, and the next engine watches the same connections.
//
// What is replaced: dialled again, looked at (another disk is refused), put in a dead slot of the
// driver. New requests flow at once; those that were on their way when the connection was lost the
// driver sends again when their timer ends (--timeout). Nobody writes again what the server had
// acknowledged and not flushed.
//
// On one loop's thread, which a replacement blocks for a second or two at most.

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "backends/nbd/direct.hpp"
#include "client/engine/backend_health.hpp"
#include "client/engine/keepsakes.hpp"
#include "client/protocol/export.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/sync.hpp"
#include "kernel/attachment.hpp"

namespace nbdring {

/// What the links are made of. Everything outlives them.
struct DirectParts {
  Loop& loop;
  const DirectSource& source;
  Attachment& attachment;  // that has the connections
  Keepsakes& keepsakes;
  Log& log;
};

class DirectLinks {
 public:
  /// connections: the driver's, as many as it has; attached: what it was told. Throws Failure where
  /// the keeper has died.
  DirectLinks(const DirectParts& parts, Export attached, std::vector<FileDescriptor> connections);

  /// What a former engine of the device left; nothing where one is missing.
  static std::vector<FileDescriptor> find(Keepsakes& keepsakes, unsigned connections);

  /// Ends after stop(), or when the driver has ended the device.
  Task<void> run();
  /// Nothing is replaced any more; the connections stay.
  void stop() noexcept;
  /// The driver has ended the device: known when run() has ended.
  bool is_over() const { return is_over_; }

  /// Ends every connection, so that the driver waits for room in none; after stop().
  void shut_down() noexcept;

  std::size_t size() const { return links_.size(); }
  bool is_alive(std::size_t link) const { return !links_[link].is_lost; }
  std::size_t alive() const;
  std::uint64_t lost() const { return lost_; }
  BackendHealth health() const;
  /// Descriptors of all of them, for another engine.
  std::vector<int> descriptors() const;

  FramePool& frames() { return parts_.loop.frames(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Link {
    FileDescriptor socket;
    bool is_lost = false;
  };

  Task<void> watch(std::size_t link);
  Task<void> replace(std::size_t link);
  Task<void> try_to_replace(std::size_t link);
  void take(std::size_t link, DirectConnection connection);
  void keep(std::size_t link);
  void note_lost(std::size_t link);
  void note_failure(const std::string& reason);
  void note_replaced();

  DirectParts parts_;
  Export attached_;
  std::vector<Link> links_;
  bool stopping_ = false;
  bool is_over_ = false;
  std::uint64_t lost_ = 0;
  std::uint64_t replaced_ = 0;
  std::string last_reason_;
  std::string said_;  // of the reasons, to the log, since the last connection was made
  Clock::time_point away_since_{};
  Clock::time_point back_since_ = Clock::now();
  std::chrono::milliseconds longest_stall_{0};
};

}  // namespace nbdring
