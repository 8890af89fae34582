#pragma once
// A load on a backend: one thread with a loop and a lane for each connection, each with a part of
// the range for itself. Owned and steered by one thread, which may look at it at any time.

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "cli/bench/load_work.hpp"
#include "cli/bench/point.hpp"
#include "client/engine/backend.hpp"

namespace nbdring {

/// Counts of one moment, of all lanes together.
struct LoadProgress {
  std::uint64_t answered = 0;  // by the target, counted or not
  std::uint64_t requests = 0;
  std::uint64_t bytes = 0;
  std::uint64_t verified = 0;  // bytes
};

class Load {
 public:
  /// Begins at once, with the warming phase. whole: its range is shared out among the point's
  /// connections, at least a block for each. The backend outlives it.
  Load(Backend& backend, const LoadPlan& whole);
  /// Waits for the threads: only when has_ended(), or who destroys it waits for the target.
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  void set_phase(LoadPhase phase) { phase_.store(phase, std::memory_order_relaxed); }
  /// Every lane gives up what is under way.
  void give_up() noexcept;
  /// Nothing is under way any more: it has been told to end, or nothing but errors came.
  bool has_ended() const { return living_.load() == 0; }

  LoadProgress progress() const;
  /// Counts, latencies and trouble; the rest of the result is the caller's.
  void report(BenchResult& result) const;

 private:
  class Lane;

  std::atomic<LoadPhase> phase_{LoadPhase::warming};
  std::atomic<unsigned> living_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace nbdring
