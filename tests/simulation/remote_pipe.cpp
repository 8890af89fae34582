#include "tests/simulation/remote_pipe.hpp"

#include <algorithm>
#include <cerrno>

namespace nbdring {

void RemotePipe::cut(bool noticed, Clock::time_point until) {
  is_cut = true;
  is_noticed = noticed;
  late_until = until;
  update();
}

void RemotePipe::server_sends(std::span<const std::byte> bytes) {
  if (is_cut || client_is_gone) return;
  to_client.insert(to_client.end(), bytes.begin(), bytes.end());
  update();
}

void RemotePipe::server_closes() {
  if (is_cut) return;  // nobody hears of it
  server_has_closed = true;
  update();
}

void RemotePipe::update() {
  readable.set(!to_client.empty() || server_has_closed || is_noticed || client_is_gone);
  writable.set(true);
}

ssize_t RemotePipeStream::receive(std::span<iovec> buffers) noexcept {
  std::size_t room = 0;
  for (const iovec& buffer : buffers) room += buffer.iov_len;
  auto& bytes = pipe_->to_client;
  if (bytes.empty()) {
    if (pipe_->is_noticed) return -ECONNRESET;
    return pipe_->server_has_closed || pipe_->client_is_gone ? 0 : -EAGAIN;
  }
  const std::size_t most = std::min(room, bytes.size());
  std::size_t left = random_.percent(70) ? most : random_.between(1, most);
  const auto received = static_cast<ssize_t>(left);
  for (const iovec& buffer : buffers) {
    const auto count = static_cast<std::ptrdiff_t>(std::min(left, buffer.iov_len));
    std::copy_n(bytes.begin(), count, static_cast<std::byte*>(buffer.iov_base));
    bytes.erase(bytes.begin(), bytes.begin() + count);
    left -= static_cast<std::size_t>(count);
  }
  pipe_->update();
  return received;
}

ssize_t RemotePipeStream::send(std::span<iovec> buffers) noexcept {
  if (pipe_->is_noticed || pipe_->client_has_ended || pipe_->client_is_gone) return -EPIPE;
  ssize_t sent = 0;
  for (const iovec& buffer : buffers) {
    const auto* bytes = static_cast<const std::byte*>(buffer.iov_base);
    // Into a network that is broken, and has not told us, bytes vanish.
    if (!pipe_->is_cut && !pipe_->server_has_closed) {
      pipe_->to_server.insert(pipe_->to_server.end(), bytes, bytes + buffer.iov_len);
    }
    sent += static_cast<ssize_t>(buffer.iov_len);
  }
  return sent;
}

void RemotePipeStream::shut_down() noexcept {
  pipe_->client_has_ended = pipe_->client_is_gone = true;
  pipe_->to_client.clear();
  pipe_->update();
}

void RemotePipeStream::end_sending() noexcept {
  // The end of the stream travels as bytes do: a broken network does not carry it.
  pipe_->client_has_ended = true;
}

void RemotePipeStream::reset() noexcept {
  shut_down();
  pipe_->was_reset = true;
}

}  // namespace nbdring
