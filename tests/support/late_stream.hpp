#pragma once
// A stream over another that says that bytes have left only with the call after the one that sent
// them, as one that encrypts may. It is writable when something can be received: so the answer is
// there before it is known that the request has left.

#include <cerrno>
#include <memory>
#include <utility>

#include "client/transport/stream.hpp"

namespace nbdring {

class LateStream final : public Stream {
 public:
  static std::unique_ptr<Stream> over(std::unique_ptr<Stream> lower) {
    return std::make_unique<LateStream>(std::move(lower));
  }
  explicit LateStream(std::unique_ptr<Stream> lower) : lower_(std::move(lower)) {}

  ssize_t receive(std::span<iovec> buffers) noexcept override { return lower_->receive(buffers); }
  ssize_t send(std::span<iovec> buffers) noexcept override {
    if (held_ > 0) return static_cast<ssize_t>(std::exchange(held_, 0));
    const ssize_t sent = lower_->send(buffers);
    if (sent <= 0) return sent;
    held_ = static_cast<std::size_t>(sent);
    return -EAGAIN;
  }
  Operation readable() override { return lower_->readable(); }
  Operation writable() override { return lower_->readable(); }
  void shut_down() noexcept override { lower_->shut_down(); }
  void move_to(Loop& loop) noexcept override { lower_->move_to(loop); }
  bool gives_pages() noexcept override { return lower_->gives_pages(); }
  ssize_t receive_to_pipe(int pipe, std::size_t bytes) noexcept override {
    return lower_->receive_to_pipe(pipe, bytes);
  }

 private:
  std::unique_ptr<Stream> lower_;
  std::size_t held_ = 0;
};

}  // namespace nbdring
