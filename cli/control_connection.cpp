#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "cli/caretakers.hpp"
#include "cli/control.hpp"
#include "cli/listen.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t reply_bytes_max = 1024 * 1024;

bool wait_for(int fd, short events, Deadline deadline) {
  while (true) {
    pollfd set{fd, events, 0};
    const auto milliseconds = std::min<std::int64_t>(deadline.remaining().count(), 60'000);
    const int ready = ::poll(&set, 1, static_cast<int>(milliseconds));
    if (ready > 0) return true;
    if (ready == 0 && deadline.has_passed()) return false;
    ENSURE(ready == 0 || errno == EINTR);
  }
}

[[noreturn]] void no_answer(const std::string& why) {
  throw Failure(FailureKind::failed, "the engine did not answer: " + why);
}

FileDescriptor process_behind(int socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return {};
  return process_descriptor(peer.pid);
}

}  // namespace

ControlConnection::ControlConnection(const std::string& path) : socket_(connect_unix(path)) {
  const bool is_nobody_there = !socket_.is_open() && (errno == ENOENT || errno == ECONNREFUSED);
  if (is_nobody_there) {
    throw Failure(FailureKind::failed,
                  "the device has no engine at the moment: its keeper starts another one, and logs "
                  "what is in the way; try again");
  }
  if (!socket_.is_open()) no_answer(path + ": " + error_text(errno));
  engine_ = process_behind(socket_.get());
}

ControlReply ControlConnection::ask(const ControlRequest& request, Deadline deadline) {
  ENSURE(socket_.is_open());
  const std::string line = to_line(request) + "\n";
  // A line is far smaller than a socket's buffer: it goes at once or never.
  if (::send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL) != std::ssize(line)) {
    no_answer(error_text(errno));
  }
  std::string reply;
  std::array<char, 4096> bytes;
  while (reply.find('\n') == std::string::npos) {
    if (!wait_for(socket_.get(), POLLIN, deadline)) no_answer("no reply in time");
    const ssize_t received = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (received == 0) no_answer("it closed the connection");
    if (received < 0) no_answer(error_text(errno));
    reply.append(bytes.data(), static_cast<std::size_t>(received));
    if (reply.size() > reply_bytes_max) no_answer("its reply is too long");
  }
  return parse_control_reply(reply.substr(0, reply.find('\n')));
}

void ControlConnection::kill_engine() const {
  if (engine_.is_open()) kill_process(engine_, SIGKILL);
}

bool ControlConnection::wait_for_engine_end(Deadline deadline) const {
  if (!engine_.is_open()) return true;  // it ended before it could be looked at
  return wait_for(engine_.get(), POLLIN, deadline);
}

}  // namespace nbdring
