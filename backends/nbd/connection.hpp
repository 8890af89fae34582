#pragma once
// One connection's transmission phase, as the client: requests in flight by cookie, replies in any
// order, in pieces, each byte of a READ exactly once.
//
// It sends what it is asked for as it is asked: flags and lengths have been made to fit by
// shape.hpp. Requests gather and go out at the end of the loop's turn, or earlier when they are
// large, in one send. Replies are received straight into the request's buffer, or not at all: by
// reference, for who wants to pass them on (client/engine/arrival_pipe.hpp).
//
// A connection that breaks, or whose server breaks the rules or stalls beyond the request deadline,
// is lost, once and for all: every request in flight ends as Answer::lost, which is no answer:
// nobody knows whether it was done. The caller decides what becomes of it (lane.hpp).
//
// One loop's thread. Nothing allocates once it serves.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "backends/nbd/dial.hpp"
#include "client/engine/backend.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/scope.hpp"

namespace nbdring {

/// What became of one request.
struct Answer {
  bool is_lost = false;  // the connection ended first
  Status status;         // the server's word, where it is not lost

  static Answer lost() { return {true, Status::ok()}; }
  static Answer of(Status status) { return {false, status}; }
};

struct ConnectionOptions {
  std::size_t requests_max = 256;  // in flight; more wait
  /// A request that has made no progress for this long ends the connection.
  std::chrono::milliseconds request_deadline{30'000};
};

class Connection {
 public:
  Connection(Loop& loop, Dialled dialled, const ConnectionOptions& options);
  ~Connection();  // after end()
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// arrival: see BackendLane::read_pages(); null: into the buffer.
  Task<Answer> read(std::uint64_t offset, std::span<std::byte> buffer, Arrival* arrival = nullptr);
  Task<Answer> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua);
  Task<Answer> flush();
  Task<Answer> trim(std::uint64_t offset, std::uint64_t length, bool fua);
  Task<Answer> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode);
  Task<Answer> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list);

  bool is_lost() const;
  /// Why, for the log: one clause that names the rule that was broken, or the errno.
  const std::string& lost_reason() const;
  /// The server broke the protocol, as opposed to going away.
  bool was_misled() const;
  /// Ends when the connection is lost (also by end()).
  Task<void> wait_lost();

  /// How certain it is that nothing sent on this connection can still be done by the server.
  enum class Fence {
    closed,   // the server has finished and closed: nothing is left of it
    unknown,  // the network or the server does not answer: only time helps
  };
  /// Ends the connection: DISC and the end of our side, then, until the deadline, the wait for the
  /// server's end; a TCP socket that does not get there is reset, so that what is still queued on
  /// our side is never sent. Requests in flight are lost. Once; the last call.
  Task<Fence> end(std::chrono::milliseconds deadline);

  const Export& about() const;
  const TransmissionOptions& transmission() const;
  std::size_t in_flight() const;
  FramePool& frames();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nbdring
