#pragma once
// The ways that bench/ways compares, and how one is measured. Nothing of the program is in them:
// they are the kernel's calls alone, so that what a way costs or saves is seen before it is built.

#include <liburing.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace ways {

struct Figures {
  double per_second = 0;
  double cpu_us = 0;  // of who serves, per request: user and system
  double p50_us = 0;  // of who asks; 0: not measured
};

/// One way to do the same work. measure() forks where two processes are needed.
class Way {
 public:
  explicit Way(std::string name) : name_(std::move(name)) {}
  virtual ~Way() = default;
  const std::string& name() const { return name_; }

  /// Throws std::runtime_error where this kernel, or the disk, does not have it.
  virtual Figures measure(unsigned depth, double seconds) = 0;

 private:
  const std::string name_;
};

using Ways = std::vector<std::unique_ptr<Way>>;

/// A request of 28 bytes is answered by 16 and 4096, over a Unix socket. The first one is ours.
Ways socket_ways();
/// Random reads of 4096 bytes with O_DIRECT through one ring. The first one is ours.
Ways disk_ways(const std::string& path);

double now();
/// Of this process so far, its threads included, in microseconds.
double cpu_used();
[[noreturn]] void fail(const std::string& what, int error);

/// As client/runtime/loop.cpp makes it.
class Ring {
 public:
  explicit Ring(unsigned flags = 0);
  ~Ring() { io_uring_queue_exit(&ring); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  io_uring_sqe& entry();
  void wait();
  template <typename Each>
  void each(Each take) {
    unsigned head = 0;
    unsigned count = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring, head, cqe) {
      ++count;
      take(*cqe);
    }
    io_uring_cq_advance(&ring, count);
  }

  io_uring ring{};
};

}  // namespace ways
