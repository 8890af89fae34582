#pragma once
// A connected stream socket: one end of the driver's socketpair, or a client of `nbdring serve`.

#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/loop.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

class SocketStream final : public Stream {
 public:
  SocketStream(Loop& loop, FileDescriptor socket);

  ssize_t receive(std::span<iovec> buffers) noexcept override;
  ssize_t send(std::span<iovec> buffers) noexcept override;
  Operation readable() override { return loop_->readable(socket_.get()); }
  Operation writable() override { return loop_->writable(socket_.get()); }
  void shut_down() noexcept override;
  void move_to(Loop& loop) noexcept override { loop_ = &loop; }
  void end_sending() noexcept override;
  void reset() noexcept override;
  bool is_local() const noexcept override;

  /// For its options and its addresses; still the stream's.
  int descriptor() const noexcept { return socket_.get(); }

 private:
  Loop* loop_;
  FileDescriptor socket_;
};

}  // namespace nbdring
