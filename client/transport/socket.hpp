#pragma once
// A connected stream socket: one end of the driver's socketpair, or a client of `nbdring serve`.

#include <utility>

#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/loop.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

/// Makes room for whole requests on the way out of a Unix socket, whose default (208 KiB) cuts 256
/// KiB in two: the rest would wait until the peer has read. Other sockets are left as they are:
/// TCP's buffers grow by themselves.
void widen_unix(int socket) noexcept;

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
  void stop_waiting() noexcept override;
  bool peer_has_ended() const noexcept override;
  bool is_local() const noexcept override;
  int descriptor() const noexcept override { return socket_.get(); }
  /// Not where SIGPIPE would end the process: splice(2) knows no MSG_NOSIGNAL.
  bool takes_pages() noexcept override;
  ssize_t send_from_pipe(int pipe, std::size_t bytes) noexcept override;
  /// TCP and Unix sockets: the others would copy.
  bool gives_pages() noexcept override;
  ssize_t receive_to_pipe(int pipe, std::size_t bytes) noexcept override;

  /// The connection is the caller's from now on, as it is: nothing is shut down. The stream is not
  /// used any more.
  FileDescriptor take() noexcept { return std::move(socket_); }

 private:
  bool stop_blocking() noexcept;

  Loop* loop_;
  FileDescriptor socket_;
};

}  // namespace nbdring
