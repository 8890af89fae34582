#pragma once
// A backend in memory whose operations err, wait and overtake each other, as a seed decides, and
// which keeps two images: what was written, and what is on stable storage. A flush carries over
// only what had ended when it began, so a test can pull the plug at any moment and look at
// stable().
//
// Operations that wait are ended by the test: step() ends some, in any order, from the loop's own
// thread; end_one() ends a certain one.

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "client/engine/backend.hpp"
#include "tests/support/random.hpp"

namespace nbdring {

struct FaultOptions {
  unsigned error_percent = 0;    // of operations that fail
  unsigned waiting_percent = 0;  // of operations that wait for step() or end_one()
  unsigned ending_percent = 30;  // of a waiting operation's chance to end in one step()
};

class FaultyBackend final : public Backend {
 public:
  /// What the test sees of an operation that failed: lane, NBD command, offset, length, errno.
  using Failed = std::tuple<std::size_t, std::uint16_t, std::uint64_t, std::uint64_t, int>;
  using Trace = std::function<void(const std::string&)>;

  FaultyBackend(const Export& about, Random& random, const FaultOptions& options);

  const Export& about() const override { return about_; }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override;

  void set_options(const FaultOptions& options) { options_ = options; }
  void set_trace(Trace trace) { trace_ = std::move(trace); }

  /// Ends waiting operations, each with the options' chance.
  void step();
  /// Ends the waiting operation with this index (0: the one that waits longest).
  void end_one(std::size_t index);
  std::size_t waiting() const { return waiting_.size(); }
  /// Operations that have begun and not ended, of one lane.
  std::size_t under_way(std::size_t lane) const { return under_way_[lane]; }

  /// What is stored from the start, on stable storage too.
  void fill(std::span<const std::byte> bytes);
  std::span<const std::byte> contents() const { return contents_; }
  std::span<const std::byte> stable() const { return stable_; }
  /// How often each operation failed and the test has not accounted for it yet.
  std::map<Failed, unsigned>& failures() { return failures_; }

  /// What extents() says of a byte: changes every 4 KiB.
  static std::uint32_t extent_flags_at(std::uint64_t offset);

 private:
  friend class FaultyLane;
  class Wait;
  struct Range {
    std::uint64_t offset, length;
  };
  struct Fate {
    int error = 0;
    bool waits = false;
    bool early = false;  // takes effect when it begins, not when it ends
  };

  Fate decide(std::size_t lane, std::uint16_t command, std::uint64_t offset, std::uint64_t length);
  void ended(std::size_t lane, std::uint16_t command, std::uint64_t offset, int error);
  void stabilise(const Range& range);
  void stabilise_until(std::uint64_t sequence);
  void make_dirty(const Range& range) { dirty_.push_back(range); }
  std::uint64_t dirty_end() const { return dirty_begin_ + dirty_.size(); }

  Export about_;
  Random& random_;
  FaultOptions options_;
  Trace trace_;
  std::vector<std::byte> contents_;
  std::vector<std::byte> stable_;
  std::deque<Range> dirty_;        // ended and not flushed, oldest first
  std::uint64_t dirty_begin_ = 0;  // the sequence number of the oldest
  std::vector<Wait*> waiting_;
  std::vector<std::size_t> under_way_;
  std::map<Failed, unsigned> failures_;
};

}  // namespace nbdring
