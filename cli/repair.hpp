#pragma once
// Puts a new connection in the place of each that the driver gave up. It does so with one on which
// a request waited longer than its timer (a remote that was away for long); without repair a later
// request would find fewer and fewer. On the front end's loop and thread; the lanes serve
// meanwhile.
//
// Where the driver closed all of them at once and nothing waits in it, somebody has told it to
// (NBD_CLEAR_SOCK): that is the device's end, and nothing is repaired.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "client/engine/device.hpp"
#include "client/runtime/log.hpp"
#include "kernel/attachment.hpp"

namespace nbdring {

class Repair {
 public:
  using Clock = std::chrono::steady_clock;

  /// All outlive it. `timeout`: of a request, in the driver.
  Repair(Device& device, Attachment& attachment, std::chrono::seconds timeout, Log& log);

  enum class Outcome {
    whole,    // every lane has its connection
    waiting,  // look again after pause()
    over,     // the driver has ended the device, or was told to
  };

  /// Replaces what it can; returns within a second or two. To be called when Device::attention_fd()
  /// was readable, and after pause() while the outcome is `waiting`; never while the lanes are
  /// paused.
  Outcome look();

  /// 10 ms at first, 1 s at last.
  std::chrono::milliseconds pause() const { return pause_; }

 private:
  Outcome repair(const std::vector<std::size_t>& lost);
  bool was_told_to_end() const;
  bool was_too_slow(std::size_t lane) const;
  void note(const std::vector<std::size_t>& lost);

  Device& device_;
  Attachment& attachment_;
  std::chrono::seconds timeout_;
  Log& log_;
  std::vector<bool> noted_;  // by lane: lost, and the log was told
  std::chrono::milliseconds pause_;
  Clock::time_point next_line_{};  // of the log
  unsigned lines_left_out_ = 0;
};

}  // namespace nbdring
