// The least that a server of NBD can do, as the limit beside the others in bench/native: it stores
// nothing and checks nothing. One thread for each connection, blocking calls only: one recv() takes
// as many requests as have come, one sendmsg() answers them all, READ out of one constant buffer,
// WRITE into another. Ends with SIGTERM. Whatever fails ends it, or the connection.
//
//   pump SOCKET BYTES

#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <memory>
#include <thread>
#include <vector>

#include "bench/websocket-parts/wire.hpp"

namespace {

constexpr std::uint64_t init_magic = 0x4e42444d41474943;  // NBDMAGIC
constexpr std::uint16_t fixed_newstyle_no_zeroes = 1 | 2;
constexpr std::uint16_t has_flags_flush_multi_conn = 1 | 4 | 256;
constexpr std::uint32_t go = 7, acknowledged = 1, info = 3, unsupported = 0x80000001;
constexpr std::size_t payload_max = 1 << 20;
constexpr std::size_t batch_max = 512;  // two vectors each, and IOV_MAX is 1024

struct [[gnu::packed]] Greeting {
  std::uint64_t magic = htobe64(init_magic);
  std::uint64_t option_magic = htobe64(wire::option_magic);
  std::uint16_t flags = htobe16(fixed_newstyle_no_zeroes);
};

struct [[gnu::packed]] Option {
  std::uint64_t magic;
  std::uint32_t option;
  std::uint32_t length;
};

struct [[gnu::packed]] OptionReply {
  std::uint64_t magic;
  std::uint32_t option;
  std::uint32_t type;
  std::uint32_t length;
};

struct [[gnu::packed]] Export {
  std::uint16_t type;
  std::uint64_t size;
  std::uint16_t flags;
};

bool answer(int fd, std::uint32_t option, std::uint32_t type, std::uint32_t length = 0) {
  const OptionReply reply{htobe64(wire::option_reply_magic), option, htobe32(type),
                          htobe32(length)};
  return wire::write_all(fd, &reply, sizeof reply);
}

/// True when the client has been let into the transmission phase.
bool shake_hands(int fd, std::uint64_t size) {
  const Greeting greeting;
  std::uint32_t client_flags = 0;
  if (!wire::write_all(fd, &greeting, sizeof greeting)) return false;
  if (!wire::read_all(fd, &client_flags, sizeof client_flags)) return false;
  Option asked{};
  std::array<char, 8192> data{};
  while (wire::read_all(fd, &asked, sizeof asked)) {
    const std::size_t length = be32toh(asked.length);
    if (length > data.size() || !wire::read_all(fd, data.data(), length)) return false;
    if (be32toh(asked.option) != go) {
      if (!answer(fd, asked.option, unsupported)) return false;
      continue;
    }
    const Export about{0, htobe64(size), htobe16(has_flags_flush_multi_conn)};
    return answer(fd, asked.option, info, sizeof about) &&
           wire::write_all(fd, &about, sizeof about) && answer(fd, asked.option, acknowledged);
  }
  return false;
}

class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {}

  void serve() {
    for (;;) {
      const ssize_t count = recv(fd_, in_.data() + have_, in_.size() - have_, 0);
      if (count <= 0) return;
      have_ += static_cast<std::size_t>(count);
      if (!take_requests() || !send_replies()) return;
    }
  }

 private:
  // What is left over, the beginning of a request, stays at the buffer's front.
  bool take_requests() {
    std::size_t at = 0;
    while (have_ - at >= sizeof(wire::Request)) {
      wire::Request request{};
      std::memcpy(&request, in_.data() + at, sizeof request);
      at += sizeof request;
      const std::size_t length = be32toh(request.length);
      const auto command = be16toh(request.command);
      if (be32toh(request.magic) != wire::request_magic || command == wire::disconnect)
        return false;
      if (length > payload_max) return false;
      if (command == wire::write_command) {
        const std::size_t here = std::min(length, have_ - at);
        at += here;
        if (!receive_payload(length - here)) return false;
      }
      add_reply(request.cookie, command == wire::read_command ? length : 0);
    }
    std::memmove(in_.data(), in_.data() + at, have_ - at);
    have_ -= at;
    return true;
  }

  bool receive_payload(std::size_t size) {
    return size == 0 || recv(fd_, payload_.data(), size, MSG_WAITALL) == static_cast<ssize_t>(size);
  }

  void add_reply(std::uint64_t cookie, std::size_t size) {
    wire::Reply& reply = replies_[replies_count_++];
    reply = {htobe32(wire::reply_magic), 0, cookie};
    vectors_.push_back({&reply, sizeof reply});
    if (size > 0) vectors_.push_back({constant_.data(), size});
    bytes_ += sizeof reply + size;
  }

  // A blocking socket takes all of it, or the connection is over.
  bool send_replies() {
    msghdr message{};
    message.msg_iov = vectors_.data();
    message.msg_iovlen = vectors_.size();
    const bool sent =
        vectors_.empty() || sendmsg(fd_, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes_);
    vectors_.clear();
    replies_count_ = bytes_ = 0;
    return sent;
  }

  int fd_;
  std::array<char, batch_max * sizeof(wire::Request)> in_{};
  std::size_t have_ = 0;
  std::vector<char> constant_ = std::vector<char>(payload_max, 'x');
  std::vector<char> payload_ = std::vector<char>(payload_max);
  std::array<wire::Reply, batch_max> replies_{};
  std::vector<iovec> vectors_;
  std::size_t replies_count_ = 0, bytes_ = 0;
};

void serve(int fd, std::uint64_t size) {
  if (shake_hands(fd, size)) {
    const auto connection = std::make_unique<Connection>(fd);
    connection->serve();
  }
  close(fd);
}

int listen_on(const char* path) {
  unlink(path);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = wire::unix_address(path);
  if (listener < 0 || fchmod(listener, 0600) != 0 ||
      bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 16) != 0) {
    wire::fail(path);
  }
  return listener;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) wire::fail("usage: pump SOCKET BYTES");
  const std::uint64_t size = std::strtoull(argv[2], nullptr, 10);
  const int listener = listen_on(argv[1]);
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) wire::fail("accept");
    std::thread(serve, fd, size).detach();
  }
}
