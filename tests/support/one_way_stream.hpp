#pragma once
// Streams of one direction for codecs and queues that are tested without a loop: one takes what is
// sent, one holds what is received. Waiting is a programmer's error.

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <deque>
#include <vector>

#include "client/runtime/error.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

struct OneWayStream final : Stream {
  std::vector<std::byte> sent;
  std::size_t room = SIZE_MAX;   // bytes that send() still takes
  std::size_t piece = SIZE_MAX;  // longest send() or receive()
  std::deque<int> errors;        // what the next calls fail with
  std::vector<std::byte> incoming;
  std::size_t received = 0;
  bool is_over = false;  // behind the last incoming byte is the end, else EAGAIN
  std::size_t calls = 0;

  ssize_t receive(std::span<iovec> buffers) noexcept override {
    return transfer(buffers, incoming.size() - received, [this](std::byte* to, std::size_t count) {
      std::memcpy(to, incoming.data() + received, count);
      received += count;
    });
  }
  ssize_t send(std::span<iovec> buffers) noexcept override {
    return transfer(buffers, room, [this](const std::byte* from, std::size_t count) {
      sent.insert(sent.end(), from, from + count);
      room -= count;
    });
  }
  bool takes_pages() noexcept override { return true; }
  ssize_t send_from_pipe(int pipe, std::size_t bytes) noexcept override {
    std::vector<std::byte> taken(std::min({bytes, room, piece}));
    ++calls;
    if (taken.empty()) return -EAGAIN;
    const ssize_t count = ::read(pipe, taken.data(), taken.size());
    if (count < 0) return -errno;
    sent.insert(sent.end(), taken.begin(), taken.begin() + count);
    room -= static_cast<std::size_t>(count);
    return count;
  }
  Operation readable() override { ensure_failed("no loop", __FILE__, __LINE__); }
  Operation writable() override { ensure_failed("no loop", __FILE__, __LINE__); }
  void shut_down() noexcept override {}
  void move_to(Loop&) noexcept override {}

 private:
  template <typename Copy>
  ssize_t transfer(std::span<iovec> buffers, std::size_t limit, Copy copy) {
    ++calls;
    if (!errors.empty()) {
      const int error = errors.front();
      errors.pop_front();
      return -error;
    }
    std::size_t left = std::min(limit, piece);
    if (left == 0) return is_over ? 0 : -EAGAIN;
    ssize_t total = 0;
    for (const iovec& buffer : buffers) {
      const std::size_t count = std::min(left, buffer.iov_len);
      if (count > 0) copy(static_cast<std::byte*>(buffer.iov_base), count);
      left -= count;
      total += static_cast<ssize_t>(count);
    }
    return total;
  }
};

}  // namespace nbdring
