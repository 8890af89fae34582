// Requests over a Unix socket: a child serves them one way, we ask.

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include "bench/ways-parts/ways.hpp"

namespace ways {
namespace {

constexpr std::size_t request_bytes = 28;
constexpr std::size_t reply_bytes = 16 + 4096;
constexpr unsigned depth_max = 32;
constexpr int wait_milliseconds = 30'000;  // a loop has a timer to wait for

// Linux 6.10; liburing 2.3 does not know it.
constexpr unsigned short recvsend_bundle = 1U << 4;

std::array<std::byte, reply_bytes * depth_max> replies;

/// Turns received bytes into replies that are due.
class Due {
 public:
  std::size_t received(std::size_t bytes) {
    bytes_ += bytes;
    const std::size_t requests = bytes_ / request_bytes;
    bytes_ %= request_bytes;
    return requests;
  }

 private:
  std::size_t bytes_ = 0;
};

void answer(int socket, std::size_t requests) {
  std::size_t left = requests * reply_bytes;
  while (left > 0) {
    const ssize_t sent = ::send(socket, replies.data(), left, MSG_NOSIGNAL);
    if (sent < 0) return;
    left -= static_cast<std::size_t>(sent);
  }
}

/// Serves until the other side has gone.
using Serve = void (*)(int socket);

// The socket, and what another thread would wake us with.
void serve_poll(int socket) {
  const int wake = ::eventfd(0, EFD_CLOEXEC);
  std::array<std::byte, 32 * 1024> bytes;
  Due due;
  for (;;) {
    std::array<pollfd, 2> waits{{{wake, POLLIN, 0}, {socket, POLLIN, 0}}};
    ::poll(waits.data(), waits.size(), wait_milliseconds);
    const ssize_t got = ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got <= 0) return;
    answer(socket, due.received(static_cast<std::size_t>(got)));
  }
}

void serve_epoll(int socket) {
  const int wake = ::eventfd(0, EFD_CLOEXEC);
  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  for (const int fd : {wake, socket}) {
    epoll_event event{EPOLLIN, {.fd = fd}};
    ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
  }
  std::array<std::byte, 32 * 1024> bytes;
  Due due;
  for (;;) {
    std::array<epoll_event, 2> events;
    ::epoll_wait(set, events.data(), events.size(), wait_milliseconds);
    const ssize_t got = ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got <= 0) return;
    answer(socket, due.received(static_cast<std::size_t>(got)));
  }
}

void serve_blocking(int socket) {
  std::array<std::byte, 32 * 1024> bytes;
  Due due;
  for (;;) {
    const ssize_t got = ::recv(socket, bytes.data(), bytes.size(), 0);
    if (got <= 0) return;
    answer(socket, due.received(static_cast<std::size_t>(got)));
  }
}

// Asks for so long before it waits.
void serve_spinning(int socket) {
  constexpr double patience = 20e-6;
  std::array<std::byte, 32 * 1024> bytes;
  Due due;
  double asked_since = now();
  for (;;) {
    const ssize_t got = ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) {
      if (now() - asked_since < patience) continue;
      pollfd wait{socket, POLLIN, 0};
      ::poll(&wait, 1, -1);
      continue;
    }
    if (got <= 0) return;
    answer(socket, due.received(static_cast<std::size_t>(got)));
    asked_since = now();
  }
}

// One receive in the ring at a time; the replies by sendmsg.
void serve_ring(int socket) {
  Ring ring;
  std::array<std::byte, 32 * 1024> bytes;
  Due due;
  for (;;) {
    io_uring_sqe& sqe = ring.entry();
    io_uring_prep_recv(&sqe, socket, bytes.data(), bytes.size(), 0);
    ring.wait();
    int got = 0;
    ring.each([&](const io_uring_cqe& cqe) { got = cqe.res; });
    if (got <= 0) return;
    answer(socket, due.received(static_cast<std::size_t>(got)));
  }
}

/// Buffers that the kernel picks itself (Linux 5.19).
class BufferRing {
 public:
  static constexpr unsigned count = 64;
  static constexpr unsigned bytes_each = 4096;
  static constexpr int group = 0;

  explicit BufferRing(Ring& ring) {
    io_uring_buf_reg registration{};
    ring_ = static_cast<io_uring_buf_ring*>(
        std::aligned_alloc(4096, (count * sizeof(io_uring_buf) + 4095) / 4096 * 4096));
    registration.ring_addr = reinterpret_cast<std::uint64_t>(ring_);
    registration.ring_entries = count;
    registration.bgid = group;
    const int result = io_uring_register_buf_ring(&ring.ring, &registration, 0);
    if (result < 0) fail("a ring of buffers", -result);
    io_uring_buf_ring_init(ring_);
    for (unsigned i = 0; i < count; ++i) add(i, i);
    io_uring_buf_ring_advance(ring_, count);
  }

  /// The buffers from this one on that hold so many bytes go back.
  void give_back(unsigned first, std::size_t bytes) {
    const auto used = static_cast<unsigned>((bytes + bytes_each - 1) / bytes_each);
    for (unsigned i = 0; i < used; ++i) add((first + i) % count, i);
    io_uring_buf_ring_advance(ring_, static_cast<int>(used));
  }

 private:
  void add(unsigned index, unsigned position) {
    io_uring_buf_ring_add(ring_, memory_.data() + std::size_t{index} * bytes_each, bytes_each,
                          static_cast<unsigned short>(index), io_uring_buf_ring_mask(count),
                          static_cast<int>(position));
  }

  io_uring_buf_ring* ring_ = nullptr;
  std::array<std::byte, std::size_t{count} * bytes_each> memory_;
};

void arm_multishot(Ring& ring, int socket, unsigned short more_flags) {
  io_uring_sqe& sqe = ring.entry();
  io_uring_prep_recv_multishot(&sqe, socket, nullptr, 0, 0);
  sqe.ioprio |= more_flags;
  sqe.flags |= IOSQE_BUFFER_SELECT;
  sqe.buf_group = BufferRing::group;
  sqe.user_data = 1;
}

struct MultishotHow {
  unsigned short flags = 0;
  bool sends_in_ring = false;
};

// One receive for all of them; what it brings is answered together.
void serve_multishot(int socket, const MultishotHow& how) {
  Ring ring;
  auto buffers = std::make_unique<BufferRing>(ring);
  Due due;
  bool is_armed = false;
  for (;;) {
    if (!std::exchange(is_armed, true)) arm_multishot(ring, socket, how.flags);
    ring.wait();
    std::size_t requests = 0;
    bool is_over = false;
    ring.each([&](const io_uring_cqe& cqe) {
      if (cqe.user_data != 1) return;
      if ((cqe.flags & IORING_CQE_F_MORE) == 0) is_armed = false;
      if (cqe.res <= 0) {
        is_over = is_over || cqe.res != -ENOBUFS;
        return;
      }
      const auto bytes = static_cast<std::size_t>(cqe.res);
      requests += due.received(bytes);
      buffers->give_back(cqe.flags >> IORING_CQE_BUFFER_SHIFT, bytes);
    });
    if (is_over) return;
    if (!how.sends_in_ring) {
      answer(socket, requests);
    } else if (requests > 0) {
      io_uring_sqe& sqe = ring.entry();
      io_uring_prep_send(&sqe, socket, replies.data(), requests * reply_bytes,
                         MSG_NOSIGNAL | MSG_WAITALL);
      sqe.user_data = 2;
    }
  }
}

void serve_multishot_plain(int socket) { serve_multishot(socket, {}); }
void serve_multishot_send(int socket) { serve_multishot(socket, {.sends_in_ring = true}); }
void serve_bundles(int socket) { serve_multishot(socket, {.flags = recvsend_bundle}); }

class Asker {
 public:
  Asker(int socket, unsigned depth) : socket_(socket), depth_(depth) {}

  Figures ask(double seconds) {
    const double begin = now();
    send(depth_);
    std::uint64_t done = 0;
    unsigned in_flight = depth_;
    double sent_at = begin;
    while (in_flight > 0) {
      const unsigned came = receive();
      const double at = now();
      if (depth_ == 1) times_.push_back(at - sent_at);
      done += came;
      in_flight -= came;
      if (at - begin < seconds && came > 0) {
        sent_at = at;
        send(came);
        in_flight += came;
      }
    }
    Figures figures;
    figures.per_second = static_cast<double>(done) / (now() - begin);
    figures.cpu_us = static_cast<double>(done);  // the caller divides
    if (!times_.empty()) {
      std::nth_element(times_.begin(), times_.begin() + static_cast<long>(times_.size() / 2),
                       times_.end());
      figures.p50_us = times_[times_.size() / 2] * 1e6;
    }
    return figures;
  }

 private:
  void send(unsigned requests) {
    const std::size_t bytes = requests * request_bytes;
    if (::send(socket_, requests_.data(), bytes, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes)) {
      fail("asking", errno);
    }
  }

  unsigned receive() {
    const ssize_t got = ::recv(socket_, received_.data(), received_.size(), 0);
    if (got <= 0) throw std::runtime_error("not served");
    bytes_ += static_cast<std::size_t>(got);
    const auto whole = static_cast<unsigned>(bytes_ / reply_bytes);
    bytes_ %= reply_bytes;
    return whole;
  }

  const int socket_;
  const unsigned depth_;
  std::size_t bytes_ = 0;
  std::vector<double> times_;
  std::array<std::byte, request_bytes * depth_max> requests_{};
  std::array<std::byte, reply_bytes * depth_max> received_{};
};

class SocketWay final : public Way {
 public:
  SocketWay(std::string name, Serve serve) : Way(std::move(name)), serve_(serve) {}

  Figures measure(unsigned depth, double seconds) override {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      fail("a socketpair", errno);
    }
    std::array<int, 2> report{};
    if (::pipe(report.data()) != 0) fail("a pipe", errno);
    const pid_t child = ::fork();
    if (child < 0) fail("fork", errno);
    if (child == 0) {
      ::close(ends[0]);
      serve_in_child(ends[1], report[1]);
    }
    ::close(ends[1]);
    ::close(report[1]);
    Figures figures;
    std::string trouble;
    try {
      figures = std::make_unique<Asker>(ends[0], depth)->ask(seconds);
    } catch (const std::exception& error) {
      trouble = error.what();
    }
    ::close(ends[0]);
    double cpu = 0;
    const bool is_told = ::read(report[0], &cpu, sizeof cpu) == sizeof cpu;
    ::close(report[0]);
    ::waitpid(child, nullptr, 0);
    if (!is_told || !trouble.empty()) throw std::runtime_error(trouble + " (this kernel lacks it)");
    figures.cpu_us = cpu / figures.cpu_us;
    return figures;
  }

 private:
  [[noreturn]] void serve_in_child(int socket, int report) {
    const double before = cpu_used();
    try {
      serve_(socket);
    } catch (const std::exception&) {
      ::_exit(1);
    }
    const double used = cpu_used() - before;
    ::_exit(::write(report, &used, sizeof used) == sizeof used ? 0 : 1);
  }

  const Serve serve_;
};

}  // namespace

Ways socket_ways() {
  Ways ways;
  const auto add = [&](const char* name, Serve serve) {
    ways.push_back(std::make_unique<SocketWay>(name, serve));
  };
  add("poll, recvmsg, sendmsg (ours)", serve_poll);
  add("epoll, recvmsg, sendmsg", serve_epoll);
  add("blocking recvmsg, sendmsg", serve_blocking);
  add("spins for 20 us before it polls", serve_spinning);
  add("recv in the ring", serve_ring);
  add("multishot recv", serve_multishot_plain);
  add("multishot recv, send in the ring", serve_multishot_send);
  add("multishot recv with bundles", serve_bundles);
  return ways;
}

}  // namespace ways
