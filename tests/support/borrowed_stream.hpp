#pragma once
// A stream that somebody else owns, for an owner of streams.

#include "client/transport/stream.hpp"

namespace nbdring {

class BorrowedStream final : public Stream {
 public:
  explicit BorrowedStream(Stream& stream) : stream_(stream) {}
  ssize_t receive(std::span<iovec> buffers) noexcept override { return stream_.receive(buffers); }
  ssize_t send(std::span<iovec> buffers) noexcept override { return stream_.send(buffers); }
  Operation readable() override { return stream_.readable(); }
  Operation writable() override { return stream_.writable(); }
  void shut_down() noexcept override { stream_.shut_down(); }
  void move_to(Loop& loop) noexcept override { stream_.move_to(loop); }
  void end_sending() noexcept override { stream_.end_sending(); }
  void reset() noexcept override { stream_.reset(); }
  bool is_local() const noexcept override { return stream_.is_local(); }

 private:
  Stream& stream_;
};

}  // namespace nbdring
