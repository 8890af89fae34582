#pragma once
// Reads without a copy in user space: a backend lends the pages in which it holds the bytes, and
// the lane passes them on through a pipe (client/engine/reply_pipe.hpp). Once in the pipe, an
// error can no longer come between a reply's header and its payload.
//
// What is lent is a reference. The receiver sees what the pages hold when *it* copies them out of
// the socket, not when the reply was sent. That is a right answer nevertheless:
//  - A change that the receiver, or anybody whom it told, sends after it has the whole reply comes
//    too late to be seen in it.
//  - A change that comes earlier overlaps the read in time: either content is right, in any
//    mixture, as it is when a file is read and written at once.
//  - One that was acknowledged before the read was sent is in the page already, whichever lane or
//    process it came from.
//  - A page that leaves the file (a hole is punched, the file is cut, somebody writes past the
//    cache) holds what it had, or zeros, and becomes no other file's until the last reference to it
//    is gone.
//  - A client that does not read keeps pages from being reclaimed, as many as its socket and one
//    pipe hold.
// Whoever must see the bytes, or keeps its own version of them (a layer, TLS), lends nothing.

#include <cstddef>
#include <cstdint>

namespace nbdring {

/// A BackendLane's, and used as that is.
class PageLender {
 public:
  /// Whether the range can be lent now without waiting for a disk. A moment later it may be
  /// otherwise, where memory is short: then lend() waits for that disk.
  virtual bool has_at_hand(std::uint64_t offset, std::size_t length) noexcept = 0;

  /// Puts the range into the pipe. How many bytes went in; fewer than asked when the pipe is full
  /// or something is wrong with the range, and read() will tell what.
  virtual std::size_t lend(std::uint64_t offset, std::size_t length, int pipe) noexcept = 0;

 protected:
  ~PageLender() = default;
};

}  // namespace nbdring
