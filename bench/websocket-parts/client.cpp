// The NBD client of bench/websocket: one connection that stays, so that what is between can be
// looked at before and after each measurement.
//
//   client SOCKET
//
// Each line on standard input "read|write BYTES DEPTH SECONDS" is one measurement, from the image's
// begin on and round again; the answer is a line "BYTES-DONE SECONDS P50-US P99-US". Every 4 KiB of
// the image begin with their offset: each read's first are looked at, and writes say the same
// again. The end of the input ends it.

#include <algorithm>
#include <chrono>
#include <iostream>
#include <vector>

#include "bench/websocket-parts/wire.hpp"

namespace {

using Clock = std::chrono::steady_clock;

struct Measurement {
  std::uint16_t command = wire::read_command;
  std::uint32_t bytes = 0;
  std::size_t depth = 1;
  double seconds = 1;
};

class Client {
 public:
  explicit Client(const char* path) : socket_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_un address = wire::unix_address(path);
    if (connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      wire::fail(path);
    shake_hands();
  }

  void run(const Measurement& what) {
    buffer_.resize(std::max<std::size_t>(buffer_.size(), what.bytes));
    sent_.assign(what.depth, {});
    offsets_.assign(what.depth, 0);
    latencies_.clear();
    const auto began = Clock::now();
    const auto end = began + std::chrono::duration<double>(what.seconds);
    for (std::size_t slot = 0; slot < what.depth; ++slot) ask(what, slot);
    for (std::size_t under_way = what.depth; under_way > 0;) {
      const std::size_t slot = take_reply(what);
      --under_way;
      if (Clock::now() >= end) continue;
      ask(what, slot);
      ++under_way;
    }
    report(what, std::chrono::duration<double>(Clock::now() - began).count());
  }

 private:
  void shake_hands() {
    struct [[gnu::packed]] {
      std::uint32_t flags = htobe32(3);
      std::uint64_t magic = htobe64(wire::option_magic);
      std::uint32_t option = htobe32(1), name_size = 0;
    } answer;
    char greeting[18];
    struct [[gnu::packed]] {
      std::uint64_t size;
      std::uint16_t flags;
    } found;
    if (!wire::read_all(socket_, greeting, sizeof greeting) ||
        !wire::write_all(socket_, &answer, sizeof answer) ||
        !wire::read_all(socket_, &found, sizeof found)) {
      wire::fail("the handshake");
    }
    size_ = be64toh(found.size);
  }

  void ask(const Measurement& what, std::size_t slot) {
    if (next_ + what.bytes > size_) next_ = 0;
    const wire::Request request{
        htobe32(wire::request_magic), 0, htobe16(what.command), slot, htobe64(next_),
        htobe32(what.bytes)};
    offsets_[slot] = next_;
    next_ += what.bytes;
    sent_[slot] = Clock::now();
    if (!wire::write_all(socket_, &request, sizeof request)) wire::fail("a request");
    if (what.command != wire::write_command) return;
    for (std::uint64_t at = 0; at < what.bytes; at += 4096) {
      const std::uint64_t stamp = offsets_[slot] + at;
      std::memcpy(&buffer_[at], &stamp, sizeof stamp);
    }
    if (!wire::write_all(socket_, buffer_.data(), what.bytes)) wire::fail("a write's data");
  }

  std::size_t take_reply(const Measurement& what) {
    wire::Reply reply;
    if (!wire::read_all(socket_, &reply, sizeof reply)) wire::fail("the connection ended");
    if (reply.magic != htobe32(wire::reply_magic) || reply.error != 0 ||
        reply.cookie >= what.depth) {
      wire::fail("a bad reply");
    }
    if (what.command == wire::read_command) {
      std::uint64_t stamp;
      if (!wire::read_all(socket_, buffer_.data(), what.bytes)) wire::fail("the connection ended");
      std::memcpy(&stamp, buffer_.data(), sizeof stamp);
      if (stamp != offsets_[reply.cookie]) wire::fail("other bytes than the peer's");
    }
    latencies_.push_back(Clock::now() - sent_[reply.cookie]);
    return reply.cookie;
  }

  void report(const Measurement& what, double seconds) {
    std::sort(latencies_.begin(), latencies_.end());
    const auto percentile = [&](double part) {
      const auto at = static_cast<std::size_t>(part * static_cast<double>(latencies_.size() - 1));
      return std::chrono::duration<double, std::micro>(latencies_[at]).count();
    };
    std::cout << latencies_.size() * what.bytes << ' ' << seconds << ' ' << percentile(0.5) << ' '
              << percentile(0.99) << std::endl;
  }

  int socket_;
  std::uint64_t size_ = 0;
  std::uint64_t next_ = 0;
  std::vector<char> buffer_;
  std::vector<Clock::time_point> sent_;
  std::vector<std::uint64_t> offsets_;
  std::vector<Clock::duration> latencies_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) wire::fail("usage: client SOCKET");
  Client client(argv[1]);
  std::cout << "ready" << std::endl;
  Measurement what;
  for (std::string word; std::cin >> word >> what.bytes >> what.depth >> what.seconds;) {
    what.command = word == "write" ? wire::write_command : wire::read_command;
    client.run(what);
  }
}
