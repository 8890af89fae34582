#pragma once
// READ payloads from a peer's socket that nobody here looks at: received by reference into a pipe,
// and passed on from there, so that the bytes are copied neither in nor out.
//
// Whoever receives owns the pipe and has one payload in it at a time. When that is complete, and
// with it the answer, the reader is told of it by an Arrival and takes it out before it waits for
// anything: moves it on, or has it copied. What ends in any other way is copied out, or stays in a
// pipe that is not used again.
//
// The pipe holds the pages in which the socket had the bytes. They are the reader's as those of any
// answer are: a peer on this machine that sent its own pages by reference may still change them,
// and so what was read; but what it answers is its own to choose at any time before.
//
// One loop's thread. Nothing is allocated in user space, and in the kernel once, by open().

#include <sys/types.h>

#include <cstddef>
#include <span>

#include "client/runtime/file_descriptor.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

class ArrivalPipe {
 public:
  /// Payloads of fewer bytes are cheaper to copy: see bench/README.md.
  static constexpr std::size_t smallest = 32 * 1024;

  /// Makes it ready to receive from the stream. Where that fails, or the stream gives no pages, it
  /// has_room_for() nothing.
  void open(Stream& stream) noexcept;
  bool has_room_for(std::size_t bytes) const { return bytes <= largest_; }

  /// As Stream::receive(), at most so many bytes. -ENOBUFS: no more of it fits, or can be received
  /// by reference at all; what is there already is to be copied, and from now on there is only room
  /// for as much.
  ssize_t receive(Stream& stream, std::size_t bytes) noexcept;

  /// Bytes that are in it.
  std::size_t size() const { return size_; }
  /// Moves what fits from its front into another pipe. How many bytes.
  std::size_t move_to(int pipe) noexcept;
  /// Moves all of it to the front of the memory, which has the room.
  void copy_to(std::span<std::byte> memory) noexcept;

 private:
  bool is_full() const noexcept;

  FileDescriptor outlet_;
  FileDescriptor inlet_;
  std::size_t largest_ = 0;
  std::size_t size_ = 0;
};

/// How a READ ends whose reader can take pages: with its payload in `pipe`, alone, or in its buffer
/// and with null here.
struct Arrival {
  ArrivalPipe* pipe = nullptr;
};

}  // namespace nbdring
