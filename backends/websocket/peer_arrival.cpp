#include "backends/websocket/peer_arrival.hpp"

#include <array>

namespace nbdring {

Task<void> Peers::Arrival::stay() {
  while (!is_called_away()) {
    const ssize_t result = receive_early();
    if (result == -EAGAIN) {
      co_await stream_->readable();
    } else if (result <= 0 && result != -EINTR) {
      has_ended_ = true;
      co_return;
    }
  }
}

bool Peers::Arrival::is_called_away() {
  const std::lock_guard guard(peers_.lock_);
  return !is_free();
}

// A byte more than it may have said, to see that it said too much.
ssize_t Peers::Arrival::receive_early() {
  std::array<std::byte, early_max + 1> bytes;
  std::array<iovec, 1> buffer{iovec{bytes.data(), bytes.size() - early_.size()}};
  const ssize_t result = stream_->receive(buffer);
  if (result <= 0) return result;
  if (early_.empty() && info_.place) info_.place->heard();
  early_.insert(early_.end(), bytes.begin(), bytes.begin() + result);
  if (early_.size() <= early_max) return result;
  stream_->set_close(1002, "more than a greeting before anything was asked");
  stream_->shut_down();
  return -EPROTO;
}

// The wait of stay() ends, and it looks again.
void Peers::Arrival::deliver() noexcept {
  {
    const std::lock_guard guard(peers_.lock_);
    is_posted_ = false;
  }
  loop_.cancel(info_.socket);
}

}  // namespace nbdring
