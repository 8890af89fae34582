#include "client/transport/connect_race.hpp"

#include <algorithm>
#include <cerrno>

namespace nbdring {
namespace {

// RFC 8305, section 5, "Connection Attempt Delay"
constexpr std::chrono::milliseconds attempt_delay{250};

class RaiseAt final : public Timer {
 public:
  RaiseAt(Loop& loop, Clock::time_point when, Event& event) : Timer(loop, when), event_(event) {}

 private:
  void expired() override { event_.raise(); }

  Event& event_;
};

}  // namespace

std::vector<SocketAddress> interleaved(std::span<const SocketAddress> addresses) {
  std::vector<SocketAddress> first, other, result;
  for (const SocketAddress& address : addresses) {
    const bool is_first = address.family() == addresses.front().family();
    (is_first ? first : other).push_back(address);
  }
  for (std::size_t i = 0; i < std::max(first.size(), other.size()); ++i) {
    if (i < first.size()) result.push_back(first[i]);
    if (i < other.size()) result.push_back(other[i]);
  }
  return result;
}

ConnectRace::ConnectRace(Loop& loop, std::span<const SocketAddress> addresses)
    : loop_(loop), addresses_(addresses), attempts_(addresses.size()), winner_(addresses.size()) {}

Task<std::size_t> ConnectRace::run(Clock::time_point deadline) {
  Scope scope(frames());
  for (std::size_t i = 0; i < attempts_.size() && !has_winner() && Clock::now() < deadline; ++i) {
    changed_.lower();
    scope.spawn(attempt(i, deadline));
    co_await wait_for_change(attempt_delay);
  }
  while (!has_winner() && running_ > 0) {
    changed_.lower();
    co_await changed_.wait();
  }
  for (const Attempt& attempt : attempts_) {
    if (attempt.is_running) loop_.cancel(attempt.socket.get());
  }
  co_await scope.join();
  co_return winner_;
}

Task<void> ConnectRace::wait_for_change(Clock::duration at_most) {
  const RaiseAt limit(loop_, Clock::now() + at_most, changed_);
  co_await changed_.wait();
}

Task<void> ConnectRace::attempt(std::size_t index, Clock::time_point deadline) {
  Attempt& attempt = attempts_[index];
  attempt.is_running = true;
  ++running_;
  attempt.error = co_await connect_to(loop_, attempt.socket, addresses_[index], deadline);
  attempt.is_running = false;
  --running_;
  if (attempt.error == 0 && !has_winner()) {
    winner_ = index;
  } else {
    attempt.socket.reset();
  }
  changed_.raise();  // last: it resumes run()
}

}  // namespace nbdring
