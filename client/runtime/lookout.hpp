#pragma once
// Whether a loop looks for what it waits for before it sleeps. Falling asleep and being woken costs
// more than a small request, on both sides, most of all where an idle processor is given back to a
// hypervisor. But who looks keeps the processor from whoever else has work, the one it waits for
// included, and burns it. So looking is earned by sleeps that were short, kept by finding early,
// and lost by looking long or in vain; who loses it again and again earns it more slowly each time,
// which bounds what looking can cost where it is of no use.
//
// For waits of which somebody expects that they are short: a lane whose client asks for one thing
// at a time. Where many requests come at once a sleep gathers them, and looking would cost the
// batches. bench/native at depth 1 shows what it saves.
//
// One thread; no clock of its own.

#include <chrono>

namespace nbdring {

class Lookout {
 public:
  using Duration = std::chrono::nanoseconds;

  /// How long to look: as long as Linux's own idle loop does in a guest (cpuidle-haltpoll).
  static constexpr Duration window = std::chrono::microseconds(200);
  /// Looks that stand further apart were interrupted: somebody else wants this processor.
  static constexpr Duration interruption = std::chrono::microseconds(10);

  bool looks() const { return looks_; }

  /// The wait was slept through, without a look before.
  void slept(Duration duration) noexcept;
  /// It came when we had looked so long.
  void found(Duration after) noexcept;
  /// It did not, or somebody else was running in between.
  void missed() noexcept;

 private:
  // A sleep is longer than the wait was: two processors may have to be woken meanwhile.
  static constexpr Duration short_sleep = std::chrono::milliseconds(1);
  // Whoever pauses so long begins something new.
  static constexpr Duration pause = std::chrono::seconds(1);
  // What is found later costs more than it saves.
  static constexpr Duration early = std::chrono::microseconds(50);

  static constexpr int sleeps_at_first = 16;
  static constexpr int sleeps_at_most = 1 << 16;
  static constexpr int credit_at_first = 64;
  static constexpr int credit_at_most = 64;
  static constexpr int price_of_a_late_find = 1;
  static constexpr int price_of_a_miss = 8;

  void pay(int price) noexcept;

  bool looks_ = false;
  int short_sleeps_ = 0;                // in a row
  int sleeps_asked_ = sleeps_at_first;  // in a row, before it looks again
  int credit_ = 0;
};

}  // namespace nbdring
