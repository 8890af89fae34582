#pragma once
// Happy eyeballs (RFC 8305): a host's addresses are tried one after the other, a new one whenever
// the last has failed or has taken too long, and the first that is connected wins.

#include <span>
#include <vector>

#include "client/runtime/scope.hpp"
#include "client/runtime/sync.hpp"
#include "client/transport/connect.hpp"

namespace nbdring {

/// The two families in turn, beginning with the first address's; else in their order.
std::vector<SocketAddress> interleaved(std::span<const SocketAddress> addresses);

/// One race, on one loop's thread.
class ConnectRace {
 public:
  /// The addresses outlive the race.
  ConnectRace(Loop& loop, std::span<const SocketAddress> addresses);

  /// The winner's index, or the number of addresses where none has won. Once.
  Task<std::size_t> run(Clock::time_point deadline);

  FileDescriptor take_socket(std::size_t winner) { return std::move(attempts_[winner].socket); }
  /// Why an address did not win: an errno (0: the deadline came before its turn).
  int error(std::size_t index) const { return attempts_[index].error; }

  FramePool& frames() { return loop_.frames(); }

 private:
  struct Attempt {
    FileDescriptor socket;
    int error = 0;
    bool is_running = false;
  };

  Task<void> attempt(std::size_t index, Clock::time_point deadline);
  Task<void> wait_for_change(Clock::duration at_most);
  bool has_winner() const { return winner_ < attempts_.size(); }

  Loop& loop_;
  std::span<const SocketAddress> addresses_;
  std::vector<Attempt> attempts_;
  std::size_t running_ = 0;
  std::size_t winner_;
  Event changed_;
};

}  // namespace nbdring
