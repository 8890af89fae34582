#include "cli/channel.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t message_bytes_max = 64 * 1024;
constexpr std::chrono::milliseconds send_time{1000};

using Control = std::array<char, CMSG_SPACE(sizeof(int) * Channel::descriptors_max)>;

void put_descriptors(msghdr& header, Control& control, const std::vector<int>& descriptors) {
  if (descriptors.empty()) return;
  ENSURE(descriptors.size() <= Channel::descriptors_max);
  const std::size_t bytes = descriptors.size() * sizeof(int);
  header.msg_control = control.data();
  header.msg_controllen = CMSG_SPACE(bytes);
  cmsghdr* const first = CMSG_FIRSTHDR(&header);
  first->cmsg_level = SOL_SOCKET;
  first->cmsg_type = SCM_RIGHTS;
  first->cmsg_len = CMSG_LEN(bytes);
  std::memcpy(CMSG_DATA(first), descriptors.data(), bytes);
}

std::vector<FileDescriptor> descriptors_of(msghdr& header) {
  std::vector<FileDescriptor> found;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
      found.emplace_back(fd);
    }
  }
  return found;
}

void wait_for(int fd, short events, Deadline deadline) {
  pollfd wait{fd, events, 0};
  ::poll(&wait, 1, static_cast<int>(deadline.remaining().count()));
}

}  // namespace

FileDescriptor duplicate(int fd) {
  FileDescriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!copy.is_open()) fail_errno(FailureKind::failed, "cannot duplicate a descriptor");
  return copy;
}

std::array<FileDescriptor, 2> Channel::make_sockets() {
  std::array<int, 2> ends{};
  constexpr int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
  if (::socketpair(AF_UNIX, type, 0, ends.data()) != 0) {
    fail_errno(FailureKind::failed, "cannot make a pair of sockets");
  }
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

bool Channel::send(std::string_view word, std::string_view text,
                   const std::vector<int>& descriptors) const {
  std::string bytes(word);
  if (!text.empty()) bytes.append(" ").append(text);
  ENSURE(bytes.size() <= message_bytes_max);
  Control control{};
  iovec part{bytes.data(), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  put_descriptors(header, control, descriptors);
  const Deadline deadline = Deadline::in(send_time);
  while (::sendmsg(socket_.get(), &header, MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN || deadline.has_passed()) return false;
    wait_for(socket_.get(), POLLOUT, deadline);
  }
  return true;
}

std::optional<ChannelMessage> Channel::take() {
  std::string bytes(message_bytes_max, '\0');
  Control control{};
  iovec part{bytes.data(), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t count = -1;
  do {
    count = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count < 0 && errno == EAGAIN) return std::nullopt;
  if (count <= 0) {
    is_over_ = true;
    return std::nullopt;
  }
  bytes.resize(static_cast<std::size_t>(count));
  const std::size_t end = bytes.find(' ');
  ChannelMessage message;
  message.word = bytes.substr(0, end);
  if (end != std::string::npos) message.text = bytes.substr(end + 1);
  message.descriptors = descriptors_of(header);
  return message;
}

std::optional<ChannelMessage> Channel::wait(Deadline deadline) {
  while (true) {
    auto message = take();
    if (message || is_over_ || deadline.has_passed()) return message;
    wait_for(socket_.get(), POLLIN, deadline);
  }
}

}  // namespace nbdring
