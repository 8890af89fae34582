#include "client/engine/lane.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <variant>

namespace nbdring {
namespace {

// Replies of this many bytes go out at once: the payloads are still in the cache, and the client
// has work meanwhile.
constexpr std::size_t flush_bytes = 128 * 1024;

// A client that always has more must not keep the loop from its timers and messages.
constexpr unsigned receives_per_turn = 64;

constexpr std::size_t block_status_bytes = 4096;  // room for 512 extents in one reply

std::size_t buffer_bytes_of(const Request& request) {
  switch (request.command) {
    case Command::read:
    case Command::write:
      return request.length;
    case Command::block_status:
      return block_status_bytes;
    default:
      return 0;
  }
}

StatsCommand stats_command_of(Command command) {
  switch (command) {
    case Command::read:
      return StatsCommand::read;
    case Command::write:
      return StatsCommand::write;
    case Command::flush:
      return StatsCommand::flush;
    case Command::trim:
      return StatsCommand::trim;
    case Command::write_zeroes:
      return StatsCommand::write_zeroes;
    default:
      return StatsCommand::block_status;
  }
}

std::span<nbd::Extent> extents_in(std::span<std::byte> buffer) {
  static_assert(alignof(nbd::Extent) == 1);
  return {reinterpret_cast<nbd::Extent*>(buffer.data()), buffer.size() / sizeof(nbd::Extent)};
}

}  // namespace

/// Where a slot's coroutine waits between requests.
class Lane::NextRequest {
 public:
  explicit NextRequest(Slot& slot) : slot_(slot) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) noexcept { slot_.waiting = waiting; }
  void await_resume() const noexcept {}

 private:
  Slot& slot_;
};

Lane::Lane(Loop& loop, Stream& stream, BackendLane& backend, const Export& about,
           const TransmissionOptions& transmission, const LaneOptions& options, LaneStats& stats)
    : TurnEnd(loop),
      loop_(loop),
      stream_(stream),
      backend_(backend),
      about_(about),
      transmission_(transmission),
      options_(options),
      stats_(stats),
      reader_(stream),
      arena_(options.resident_bytes, options.largest_payload, options.populate),
      slots_(options.slots),
      replies_(stream, options.slots) {
  ENSURE(about.block_size.maximum <= options.largest_payload);
  for (Slot& slot : slots_) slot.next = std::exchange(free_slots_, &slot);
}

Task<LaneEnd> Lane::run() {
  Scope scope(frames());
  for (Slot& slot : slots_) scope.spawn(serve(slot));
  scope.spawn(send_when_writable());
  stats_.state = LaneState::serving;
  const LaneEnd end = co_await receive();

  stats_.state = LaneState::draining;
  draining_ = true;
  if (in_flight_ > 0) {
    co_await drained_.wait();
  }

  ending_ = true;
  for (Slot& slot : slots_) slot.waiting.resume();
  blocked_.raise();
  co_await scope.join();
  // Leave the stack of whoever noticed the end: it may be this object's own turn_ended().
  co_await loop_.sleep(Clock::duration::zero());
  stats_.state = LaneState::ended;
  co_return end;
}

Task<LaneEnd> Lane::receive() {
  for (;;) {
    std::size_t batch = 0;
    while (reader_.has_header()) {
      const ParsedRequest parsed = parse_request(reader_.take_header(), about_, transmission_);
      ++batch;
      if (const auto* broken = std::get_if<Desynchronised>(&parsed)) {
        co_return LaneEnd{false, describe(*broken)};
      }
      if (const auto* refusal = std::get_if<Refusal>(&parsed)) {
        const bool complete = co_await refuse(*refusal);
        if (!complete) co_return stream_end(true);
        continue;
      }
      const Request& request = std::get<Request>(parsed);
      if (request.command == Command::disconnect) co_return LaneEnd{true, ""};

      Slot* slot = claim(buffer_bytes_of(request));
      while (slot == nullptr) {
        capacity_.lower();
        co_await capacity_.wait();
        slot = claim(buffer_bytes_of(request));
      }
      slot->request = request;
      slot->arrived = received_at_;
      if (request.command == Command::write) {
        const std::size_t have = reader_.take(slot->buffer);
        if (have < slot->buffer.size()) {
          const bool complete = co_await receive_payload(*slot, have);
          if (!complete) {
            release(*slot);
            co_return stream_end(true);
          }
        }
      }
      slot->waiting.resume();
    }
    flush();
    // With nothing in flight and requests coming in numbers there are likely more: asking is
    // cheaper than waiting.
    const bool in_message = reader_.available() > 0;
    if (batch < 2 || in_flight_ > 0 || receives_ >= receives_per_turn) {
      co_await wait_readable(in_message);
    }
    ++receives_;
    receive_result_ = reader_.receive({}).result;
    if (receive_result_ == -EAGAIN || receive_result_ == -EINTR) {
      co_await wait_readable(in_message);
      continue;
    }
    if (receive_result_ <= 0) co_return stream_end(in_message);
    received_at_ = Clock::now();
  }
}

Task<bool> Lane::receive_payload(Slot& slot, std::size_t have) {
  flush();  // what is ready does not wait for bytes that may take their time
  while (have < slot.buffer.size()) {
    if (receives_ >= receives_per_turn) {
      co_await wait_readable(true);
    }
    ++receives_;
    const auto received = reader_.receive(slot.buffer.subspan(have));
    receive_result_ = received.result;
    if (receive_result_ == -EAGAIN || receive_result_ == -EINTR) {
      co_await wait_readable(true);
      continue;
    }
    if (receive_result_ <= 0) co_return false;
    have += received.payload_bytes;
    if (reader_.available() > 0) received_at_ = Clock::now();  // of what came along behind it
  }
  co_return true;
}

// Drains the payload of a WRITE that was refused, so that the next header is where it is expected,
// and answers.
Task<bool> Lane::refuse(const Refusal& refusal) {
  std::size_t left = refusal.payload;
  left -= reader_.drop(left);
  while (left > 0) {
    receive_result_ = reader_.receive({}).result;
    if (receive_result_ == -EAGAIN || receive_result_ == -EINTR) {
      co_await wait_readable(true);
      continue;
    }
    if (receive_result_ <= 0) co_return false;
    received_at_ = Clock::now();
    left -= reader_.drop(left);
  }
  Slot* slot = claim(0);
  while (slot == nullptr) {
    capacity_.lower();
    co_await capacity_.wait();
    slot = claim(0);
  }
  slot->request = refusal.as_request();
  slot->arrived = received_at_;
  stats_.refused.add(1);
  answer(*slot, refusal.error);
  co_return true;
}

Task<void> Lane::wait_readable(bool in_message) {
  if (receives_ >= receives_per_turn) {
    // A stream that holds bytes itself would not wait, nor let the loop have its turn.
    co_await loop_.sleep(Clock::duration::zero());
  }
  std::optional<StreamDeadline> deadline;
  if (in_message && options_.stall_deadline > Clock::duration::zero()) {
    deadline.emplace(loop_, options_.stall_deadline, stream_);
  }
  co_await stream_.readable();
  if (deadline && deadline->has_expired()) stall_ = "it stopped in the middle of a message";
}

Task<void> Lane::serve(Slot& slot) {
  for (;;) {
    co_await NextRequest(slot);
    if (ending_) co_return;
    const Request& request = slot.request;
    Status status;
    ZeroMode mode;
    ExtentList list;
    switch (request.command) {
      case Command::read:
        status = co_await backend_.read(request.offset, slot.buffer);
        break;
      case Command::write:
        status = co_await backend_.write(request.offset, slot.buffer, request.fua());
        break;
      case Command::flush:
        status = co_await backend_.flush();
        break;
      case Command::trim:
        status = co_await backend_.trim(request.offset, request.length, request.fua());
        break;
      case Command::write_zeroes:
        mode.fua = request.fua();
        mode.no_hole = request.no_hole();
        mode.fast_zero = request.fast_zero();
        status = co_await backend_.write_zeroes(request.offset, request.length, mode);
        break;
      case Command::block_status:
        list.descriptors = extents_in(slot.buffer);
        if (request.one_extent()) list.descriptors = list.descriptors.first(1);
        status = co_await backend_.extents(request.offset, request.length, list);
        slot.payload = std::as_bytes(list.descriptors.first(list.used));
        break;
      default:
        ENSURE(!"parse_request lets no other command pass");
    }
    finish(slot, status);
  }
}

void Lane::finish(Slot& slot, Status status) noexcept {
  if (slot.request.command == Command::read) slot.payload = slot.buffer;
  answer(slot, status.is_ok() ? 0 : nbd_error_from_errno(status.error()));
}

void Lane::answer(Slot& slot, std::uint32_t nbd_error) noexcept {
  const Request& request = slot.request;
  const bool structured = transmission_.structured_replies;
  if (nbd_error != 0) {
    slot.payload = {};
    const bool chunk = structured && (request.command == Command::read ||
                                      request.command == Command::block_status);
    slot.header = chunk ? encode_error_chunk(request.cookie, nbd_error)
                        : encode_simple_reply(request.cookie, nbd_error);
    stats_.commands[static_cast<std::size_t>(stats_command_of(request.command))].errors.add(1);
  } else if (request.command == Command::read && structured) {
    slot.header = encode_data_chunk(request.cookie, request.offset, request.length);
  } else if (request.command == Command::block_status) {
    const auto extents = static_cast<std::uint32_t>(slot.payload.size() / sizeof(nbd::Extent));
    slot.header = encode_block_status_chunk(request.cookie, base_allocation_id, extents);
  } else {
    slot.header = encode_simple_reply(request.cookie, 0);
  }
  replies_.push(slot);
  if (replies_.unsent_bytes() >= flush_bytes) flush();
}

Slot* Lane::claim(std::size_t buffer_bytes) noexcept {
  if (free_slots_ == nullptr) return nullptr;
  std::span<std::byte> buffer;
  if (buffer_bytes > 0) {
    buffer = arena_.allocate(buffer_bytes);
    if (buffer.empty()) return nullptr;
  }
  Slot* slot = std::exchange(free_slots_, free_slots_->next);
  slot->buffer = buffer;
  slot->payload = {};
  ++in_flight_;
  stats_.in_flight.set(in_flight_);
  return slot;
}

void Lane::release(Slot& slot) noexcept {
  if (!slot.buffer.empty()) arena_.release(slot.buffer);
  slot.buffer = {};
  slot.next = std::exchange(free_slots_, &slot);
  ENSURE(in_flight_ > 0);
  --in_flight_;
  stats_.in_flight.set(in_flight_);
  released_ = true;
}

// Sends what is ready. A stream that is full goes on in send_when_writable(); one that failed drops
// its replies, for nobody is there to take them.
void Lane::flush() noexcept {
  if (replies_.empty() || blocked_.raised()) return;
  if (send_error_ == 0) {
    const int result = replies_.send();
    release_sent();
    if (result == -EAGAIN) {
      blocked_.raise();
    } else if (result < 0) {
      send_error_ = -result;
      stream_.shut_down();
    }
  }
  if (send_error_ == 0) return;
  while (Slot* slot = replies_.take_any()) release(*slot);
}

void Lane::release_sent() noexcept {
  Slot* slot = replies_.take_sent();
  if (slot == nullptr) return;
  const auto now = Clock::now();
  for (; slot != nullptr; slot = replies_.take_sent()) {
    auto& counted =
        stats_.commands[static_cast<std::size_t>(stats_command_of(slot->request.command))];
    counted.requests.add(1);
    counted.bytes.add(slot->request.length);
    counted.latency.add(now - slot->arrived);
    release(*slot);
  }
}

Task<void> Lane::send_when_writable() {
  for (;;) {
    co_await blocked_.wait();
    if (ending_) co_return;
    std::optional<StreamDeadline> deadline;
    if (options_.stall_deadline > Clock::duration::zero()) {
      deadline.emplace(loop_, options_.stall_deadline, stream_);
    }
    co_await stream_.writable();
    if (deadline && deadline->has_expired()) stall_ = "it left its replies unread";
    blocked_.lower();
    flush();
  }
}

void Lane::turn_ended() noexcept {
  receives_ = 0;
  flush();
  while (std::exchange(released_, false)) {
    if (!capacity_.raised()) capacity_.raise();  // may receive, answer and release again
    flush();
  }
  if (draining_ && in_flight_ == 0 && !drained_.raised()) drained_.raise();
}

LaneEnd Lane::stream_end(bool in_message) const {
  if (stall_ != nullptr) {
    return {false, std::string(stall_) + " for " + duration_text(options_.stall_deadline)};
  }
  if (send_error_ != 0) return {false, "sending a reply failed: " + error_text(send_error_)};
  if (receive_result_ < 0) {
    return {false, "receiving failed: " + error_text(static_cast<int>(-receive_result_))};
  }
  if (in_message) return {false, "it disconnected in the middle of a request"};
  return {true, ""};
}

}  // namespace nbdring
