#pragma once
// What one lane of a load counts, and how far the load has come. The lane's thread writes, any
// thread reads, at any time.

#include <atomic>
#include <mutex>
#include <string>
#include <utility>

#include "cli/bench/histogram.hpp"
#include "client/engine/stats.hpp"

namespace nbdring {

enum class LoadPhase : int {
  warming,    // requests flow and are not counted
  measuring,  // requests that end now are counted
  checking,   // --verify: nothing is written any more, what was is read back
  ended,      // nothing new is asked for
};

struct LoadTally {
  Counter answered;  // in every phase: that the target is alive
  Counter requests;  // while measuring, and well
  Counter bytes;     // of these
  Counter errors;    // in every phase but the last
  Counter verified;  // bytes
  Counter wrong;     // blocks
  LatencyRecord latencies;

  /// The first one counts: what comes later is often its consequence.
  void note(std::string what) {
    const std::lock_guard lock(guard_);
    if (trouble_.empty()) trouble_ = std::move(what);
  }
  std::string trouble() const {
    const std::lock_guard lock(guard_);
    return trouble_;
  }

 private:
  mutable std::mutex guard_;  // taken when something goes wrong, and at the end
  std::string trouble_;
};

}  // namespace nbdring
