#include "backends/nbd/kept_connections.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <list>
#include <mutex>

#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"

namespace nbdring {
namespace {

// More than a device has, with some of dead engines beside them. systemd's store takes 64 of
// everything (nbdring@.service).
constexpr unsigned connections_max = 48;
constexpr unsigned receives_per_turn = 16;

std::string name_of(unsigned number) {
  return std::string(Keepsakes::connection_prefix) + std::to_string(number);
}

}  // namespace

// Two backends of one engine may share the keepsakes for a moment (a resize): whoever looks for a
// free name is alone.
ConnectionHold KeptConnections::hold(int descriptor) noexcept {
  static std::mutex names;
  if (keepsakes_ == nullptr || descriptor < 0) return {};
  const std::lock_guard guard(names);
  unsigned number = 0;
  bool is_ours = false;
  try {
    while (number < connections_max && keepsakes_->find(name_of(number))) ++number;
    if (number == connections_max) return {};
    is_ours = true;
    keepsakes_->keep(name_of(number), descriptor);
  } catch (const Failure&) {
    // Nobody takes it, and the next engine waits instead. This one's copy would outlive the socket.
    if (is_ours) keepsakes_->drop(name_of(number));
    return {};
  }
  return {*keepsakes_, name_of(number)};
}

void KeptConnections::take_former() {
  if (keepsakes_ == nullptr) return;
  for (unsigned number = 0; number < connections_max; ++number) {
    auto found = keepsakes_->find(name_of(number));
    if (!found) continue;
    ::shutdown(found->get(), SHUT_WR);
    auto former = std::make_unique<Former>();
    former->name = name_of(number);
    former->socket = std::move(*found);
    former_.push_back(std::move(former));
  }
}

Task<bool> KeptConnections::see_former_end(Loop& loop, Clock::time_point until) {
  Scope tasks(loop.frames());
  std::list<SocketStream> streams;
  std::list<StreamDeadline> deadlines;
  for (const auto& former : former_) {
    SocketStream& stream = streams.emplace_back(loop, std::move(former->socket));
    deadlines.emplace_back(loop, until - Clock::now(), stream);
    tasks.spawn(drain(loop, *former, stream));
  }
  co_await tasks.join();
  co_await loop.sleep(Clock::duration::zero());  // off the stack of the last one's deadline
  bool all = true;
  for (const StreamDeadline& deadline : deadlines) all = all && !deadline.has_expired();
  deadlines.clear();
  auto stream = streams.begin();
  for (const auto& former : former_) {
    all = all && former->has_ended;
    former->socket = stream->take();
    ++stream;
  }
  co_return all;
}

// Which error is the server's own end: see Connection::State::stream_ended().
Task<void> KeptConnections::drain(Loop& loop, Former& former, SocketStream& stream) {
  iovec buffer{former.dropped.data(), former.dropped.size()};
  for (unsigned receives = 1;; ++receives) {
    const ssize_t bytes = stream.receive(std::span(&buffer, 1));
    if (bytes == -EAGAIN || bytes == -EINTR) {
      co_await stream.readable();
    } else if (bytes <= 0) {
      former.has_ended = bytes == 0 || (bytes == -ECONNRESET && stream.is_local());
      break;
    } else if (receives % receives_per_turn == 0) {
      co_await loop.sleep(Clock::duration::zero());
    }
  }
}

void KeptConnections::drop_former() noexcept {
  for (const auto& former : former_) {
    const sockaddr nowhere{AF_UNSPEC, {}};  // resets a TCP socket: see SocketStream::reset()
    if (!former->has_ended) ::connect(former->socket.get(), &nowhere, sizeof nowhere);
    ::shutdown(former->socket.get(), SHUT_RDWR);
    keepsakes_->drop(former->name);
  }
  former_.clear();
}

}  // namespace nbdring
