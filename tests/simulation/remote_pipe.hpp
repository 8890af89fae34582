#pragma once
// A connection to a simulated server, with a network in between that can break: what was sent
// before may still arrive, late, although the client is told that the connection is gone. That is
// what ghosts are made of.
//
// Both ends hold the pipe; the client's end is a Stream.

#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "client/runtime/loop.hpp"
#include "client/transport/stream.hpp"
#include "tests/support/random.hpp"
#include "tests/support/simulated_stream.hpp"

namespace nbdring {

struct RemotePipe {
  std::deque<std::byte> to_server;  // on its way, or in the server's socket
  std::deque<std::byte> to_client;
  bool client_has_ended = false;  // sends nothing more
  bool client_is_gone = false;    // listens to nothing more
  bool was_reset = false;         // by the client
  bool server_has_closed = false;
  bool is_cut = false;             // nothing passes any more, but what is on its way to the server
  bool is_noticed = false;         // the client knows
  Clock::time_point late_until{};  // a cut pipe's bytes may arrive until then
  Clock::time_point noticed_from{};  // and the client knows from then on; none: by itself
  ReadinessFlag readable;
  ReadinessFlag writable;

  void cut(bool noticed, Clock::time_point until);
  void server_sends(std::span<const std::byte> bytes);
  void server_closes();
  void update();
};

class RemotePipeStream final : public Stream {
 public:
  RemotePipeStream(Loop& loop, Random& random, std::shared_ptr<RemotePipe> pipe)
      : loop_(&loop), random_(random), pipe_(std::move(pipe)) {
    pipe_->update();
  }

  ssize_t receive(std::span<iovec> buffers) noexcept override;
  ssize_t send(std::span<iovec> buffers) noexcept override;
  Operation readable() override { return pipe_->readable.wait(*loop_); }
  Operation writable() override { return pipe_->writable.wait(*loop_); }
  void shut_down() noexcept override;
  void move_to(Loop& loop) noexcept override { loop_ = &loop; }
  void end_sending() noexcept override;
  void reset() noexcept override;

 private:
  Loop* loop_;
  Random& random_;
  std::shared_ptr<RemotePipe> pipe_;
};

}  // namespace nbdring
