#pragma once
// Replies as the client sees them: bytes in any pieces become answered requests, or a broken rule.
//
// Three forms, as the handshake agreed: simple replies; structured ones, in chunks that may come in
// any order and between those of other requests; chunks with extended headers. What a server can do
// wrong is looked for as early as it can be seen: a chunk's length when its header is there, before
// a byte of it is taken. After a broken rule nothing that the server says can be trusted.
//
// Pure: no I/O, no allocation. Data goes straight to its place: who receives from a socket asks
// data_rest() where the next bytes belong and receives them there.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "client/protocol/coverage.hpp"
#include "client/protocol/nbd.hpp"
#include "client/protocol/request.hpp"

namespace nbdring {

/// A request whose reply is awaited: the question, and the answer so far.
struct AwaitedReply {
  std::uint64_t cookie = 0;
  Command command = Command::flush;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::span<std::byte> data;       // READ: as long as the request; filled
  std::span<nbd::Extent> extents;  // BLOCK_STATUS: filled as far as there is room
  bool one_extent = false;         // REQ_ONE was asked

  std::uint32_t error = 0;  // nbd::e*, the first that was reported
  std::size_t extents_used = 0;
  std::uint64_t extents_length = 0;  // of all extents reported, in bytes
  std::uint64_t chunks = 0;
  bool has_status = false;  // the chunk with the extents has come
  Coverage covered;         // of `data`
};

/// Finds what is in flight by its cookie.
class AwaitedReplies {
 public:
  virtual ~AwaitedReplies() = default;
  /// Null: nothing of that name is in flight.
  virtual AwaitedReply* find(std::uint64_t cookie) noexcept = 0;
};

class ReplyDecoder {
 public:
  ReplyDecoder(const TransmissionOptions& transmission, std::uint32_t base_allocation_context,
               AwaitedReplies& awaited);

  enum class Event {
    more,      // all bytes are taken; further ones are needed
    answered,  // answered() has its answer, and is forgotten
    broken,    // broken() says which rule; the last call
  };
  /// Takes bytes from the front of the input, up to the next event.
  Event decode(std::span<const std::byte>& input) noexcept;

  AwaitedReply& answered() const { return *reply_; }
  const Desynchronised& broken() const { return broken_; }

  /// Where the next bytes of the stream belong; empty outside of a READ's data. What was received
  /// there is reported by data_received(), then decode() goes on (also without input).
  std::span<std::byte> data_rest() const { return data_rest_; }
  void data_received(std::size_t bytes) noexcept;
  /// What belongs there is all that its READ has asked for, in one piece of which nothing has come
  /// yet: with its last byte the READ has succeeded.
  bool awaits_whole_read() const {
    return state_ == State::data && done_ && reply_->error == 0 &&
           data_rest_.size() == reply_->length;
  }
  /// The request that the reply under way answers, or null between two messages.
  AwaitedReply* under_way() const { return state_ == State::header ? nullptr : reply_; }
  bool in_message() const { return state_ != State::header || have_ > 0; }
  /// What stands before a READ's data.
  std::size_t bytes_before_data() const;

 private:
  enum class State {
    header,
    data_offset,
    data,
    hole,
    error,
    error_text,
    error_offset,
    status,
    extent,
    rest,  // of a chunk, to be skipped
  };

  bool gather(std::span<const std::byte>& input) noexcept;
  bool step() noexcept;
  void expect(State state, std::size_t bytes) noexcept;
  bool break_off(const char* reason, std::uint64_t value) noexcept;

  bool take_header() noexcept;
  bool take_simple() noexcept;
  bool take_chunk(std::uint16_t flags, std::uint16_t type, std::uint64_t cookie,
                  std::uint64_t length) noexcept;
  bool begin_chunk(std::uint16_t type, std::uint64_t length) noexcept;
  bool begin_data(std::uint64_t offset, std::uint64_t length) noexcept;
  bool take_hole() noexcept;
  bool take_error() noexcept;
  bool take_error_offset() noexcept;
  bool begin_status(std::uint64_t length) noexcept;
  bool take_status() noexcept;
  bool take_extent() noexcept;
  bool cover(std::uint64_t offset, std::uint64_t length) noexcept;
  bool end_chunk() noexcept;
  bool is_whole() noexcept;

  const TransmissionOptions transmission_;
  const std::uint32_t context_;
  AwaitedReplies& awaited_;

  State state_ = State::header;
  std::array<std::byte, 32> bytes_;  // the fixed part that is being gathered
  std::size_t have_ = 0;
  std::size_t need_ = 0;
  AwaitedReply* reply_ = nullptr;
  bool done_ = false;  // the chunk is its reply's last
  bool answered_ = false;
  std::uint16_t type_ = 0;       // the chunk's
  std::uint64_t left_ = 0;       // bytes of the chunk behind what is being gathered
  std::uint64_t text_left_ = 0;  // of them an error's text
  std::span<std::byte> data_rest_;
  Desynchronised broken_;
};

/// The errno that an NBD error stands for; unknown ones are EINVAL ("Error values").
int errno_from_nbd(std::uint32_t nbd_error) noexcept;

}  // namespace nbdring
