#pragma once
// One seed's simulation: several lanes on one loop over one faulty backend, each with a client at
// the other end of a simulated stream. Everything that happens follows from the seed; one step of
// every client and of the backend happens in each turn of the loop.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/runtime/loop.hpp"
#include "client/runtime/scope.hpp"
#include "tests/simulation/client.hpp"

namespace nbdring {

class World {
 public:
  struct Report {
    std::function<void(const std::string&)> trace;  // empty: none
    /// Does not return: the lanes cannot be unwound in the middle of a turn.
    std::function<void(const std::string&)> failed;
  };

  World(std::uint64_t seed, Report report);

  /// Returns when every promise has been seen to hold.
  void run();

  std::uint64_t turns() const { return turns_; }
  std::uint64_t requests() const { return requests_; }

 private:
  Task<void> play(Loop& loop);
  Task<void> serve(Loop& loop, SimulatedClient& client);
  Task<void> keep_ring_busy(Loop& loop);
  void step();
  void check_end();
  bool is_over() const;
  Export make_export();
  ClientPlan make_plan();

  Random random_;
  Report report_;
  std::unique_ptr<FaultyBackend> backend_;
  std::unique_ptr<Oracle> oracle_;
  std::unique_ptr<Stage> stage_;
  std::vector<std::unique_ptr<SimulatedClient>> clients_;
  FileDescriptor ring_keeper_;  // an eventfd that a ring operation reads
  bool uses_ring_ = false;      // the loop waits in the ring instead of poll(2)
  std::uint64_t turns_ = 0;
  std::uint64_t progress_ = 0;    // of all clients
  std::uint64_t idle_turns_ = 0;  // in a row without any
  std::uint64_t requests_ = 0;
};

}  // namespace nbdring
