#include "cli/control.hpp"

#include <array>
#include <optional>
#include <utility>

#include "client/runtime/error.hpp"
#include "client/runtime/timer.hpp"
#include "client/transport/socket.hpp"

namespace nbdring {
namespace {

// Up to the first newline. Nothing when the peer has gone, or said more than it may.
Task<std::optional<std::string>> receive_line(Loop&, Stream& stream, std::size_t bytes_max) {
  std::string line;
  std::array<char, 1024> bytes;
  while (line.size() <= bytes_max) {
    std::array<iovec, 1> buffer{iovec{bytes.data(), bytes.size()}};
    const ssize_t received = stream.receive(buffer);
    if (received == -EAGAIN) {
      co_await stream.readable();
      continue;
    }
    if (received <= 0) break;
    line.append(bytes.data(), static_cast<std::size_t>(received));
    const std::size_t end = line.find('\n');
    if (end != std::string::npos && end <= bytes_max) {
      line.resize(end);
      co_return line;
    }
  }
  co_return std::nullopt;
}

Task<void> send_line(Loop&, Stream& stream, std::string line) {
  line += '\n';
  std::size_t sent_bytes = 0;
  while (sent_bytes < line.size()) {
    std::array<iovec, 1> buffer{iovec{line.data() + sent_bytes, line.size() - sent_bytes}};
    const ssize_t sent = stream.send(buffer);
    if (sent == -EAGAIN) {
      co_await stream.writable();
      continue;
    }
    if (sent <= 0) break;
    sent_bytes += static_cast<std::size_t>(sent);
  }
}

}  // namespace

ControlServer::ControlServer(Loop& loop, ControlHandler& handler, Log& log,
                             const ControlLimits& limits)
    : loop_(loop), handler_(handler), log_(log), limits_(limits), conversations_(loop.frames()) {
  ENSURE(limits_.connections > 0);
}

Task<void> ControlServer::accept_on(int listener) {
  ENSURE(listener >= 0 && listener_ < 0);
  listener_ = listener;
  while (!stopping_) {
    const int socket = co_await loop_.accept(listener);
    if (stopping_) break;
    if (socket < 0) {
      // Out of descriptors, say: not worth an end, but not worth a busy loop either.
      co_await loop_.sleep(std::chrono::milliseconds(100));
      continue;
    }
    FileDescriptor connection(socket);
    if (conversations_.running() >= limits_.connections) continue;
    conversations_.spawn(converse(std::move(connection)));
  }
  co_await conversations_.join();
}

Task<void> ControlServer::converse(FileDescriptor socket) {
  SocketStream stream(loop_, std::move(socket));
  streams_.push_back(&stream);
  co_await answer(stream);
  std::erase(streams_, &stream);
}

Task<void> ControlServer::answer(Stream& stream) {
  StreamDeadline deadline(loop_, limits_.deadline, stream);
  const auto line = co_await receive_line(loop_, stream, limits_.request_bytes);
  if (!line) {
    log_.warning("a control connection ended without a request");
    co_return;
  }
  deadline.stop();
  ControlRequest request;
  ControlReply reply;
  bool understood = true;
  try {
    request = parse_control_request(*line);
    reply = handler_.handle(request);
  } catch (const Failure& failure) {
    understood = false;
    reply = {static_cast<int>(failure.kind()), failure.what(), ""};
  }
  StreamDeadline send_deadline(loop_, limits_.deadline, stream);
  co_await send_line(loop_, stream, to_line(reply));
  if (understood) handler_.replied(request, reply);
}

void ControlServer::stop() noexcept {
  stopping_ = true;
  if (listener_ >= 0) loop_.cancel(listener_);
  for (Stream* stream : streams_) stream->shut_down();
}

}  // namespace nbdring
