// The lane's other half: from a received request to the backend, past the fence, and to its reply.

#include <array>
#include <cerrno>
#include <optional>

#include "client/engine/lane.hpp"

namespace nbdring {
namespace {

// Replies of this many bytes go out at once: the payloads are still in the cache, and the client
// has work meanwhile.
constexpr std::size_t flush_bytes = 128 * 1024;

// For another lane's look, which comes with the next turn of its loop.
constexpr std::chrono::milliseconds look_wait{5};

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

bool is_change(Command command) {
  return command == Command::write || command == Command::trim || command == Command::write_zeroes;
}

ZeroMode zero_mode_of(const Request& request) {
  ZeroMode mode;
  mode.fua = request.fua();
  mode.no_hole = request.no_hole();
  mode.fast_zero = request.fast_zero();
  return mode;
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

/// Raises an event when its time has come.
class Lane::Alarm final : public Timer {
 public:
  Alarm(Loop& loop, Clock::duration after, Event& event)
      : Timer(loop, Clock::now() + after), event_(event) {}

 private:
  void expired() override {
    if (!event_.raised()) event_.raise();
  }

  Event& event_;
};

Task<void> Lane::serve(Slot& slot) {
  for (;;) {
    co_await NextRequest(slot);
    if (ending_) co_return;
    const Request& request = slot.request;
    Status status;
    Arrival arrival;
    ExtentList list;
    bool begins = begins_at_once(slot);
    if (!begins) {
      begins = co_await pass_fence(slot);
    }
    if (!begins) {
      finish(slot, Status::from_errno(ECANCELED));
      continue;
    }
    const ZeroMode mode = zero_mode_of(request);
    switch (request.command) {
      case Command::read:
        if (answer_lent(slot)) continue;
        status = co_await read(slot, arrival);
        if (answer_arrived(slot, arrival)) continue;
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
    change_ended(slot);
    finish(slot, status);
  }
}

// Almost always it does, and this is all that the fence costs.
bool Lane::begins_at_once(Slot& slot) noexcept {
  if (company_.fence == nullptr || !is_change(slot.request.command)) return true;
  slot.ghost.offset = slot.request.offset;
  slot.ghost.length = slot.request.length;
  if (company_.fence->is_old(slot.sent_after, now_)) return false;
  slot.is_changing = company_.fence->is_clear(slot.arrived);
  return slot.is_changing;
}

// True: the change begins now. False: nobody waits for it any more, and it must not.
Task<bool> Lane::pass_fence(Slot& slot) {
  FenceLane& fence = *company_.fence;
  while (!lost_) {
    if (!fence.others_have_looked(slot.arrived)) {
      co_await loop_.sleep(look_wait);
      continue;
    }
    const bool is_old = fence.is_old(slot.sent_after, Clock::now());
    const bool admitted = co_await fence.admit(slot.ghost, is_old);
    if (!admitted) continue;
    slot.is_changing = true;
    if (!is_old || !stream_.peer_has_ended()) co_return true;
    change_ended(slot);
    break;
  }
  co_return false;
}

void Lane::change_ended(Slot& slot) noexcept {
  slot.is_changing = false;
  if (slot.ghost.is_declared) company_.fence->withdraw(slot.ghost);
}

Task<void> Lane::look_regularly() {
  const Clock::duration between = company_.fence->time_between_looks();
  while (between > Clock::duration::zero() && !ending_ && !lost_) {
    const Alarm alarm(loop_, between, look_due_);
    look_due_.lower();
    co_await look_due_.wait();
    if (!ending_ && !lost_) look();
  }
}

void Lane::look() noexcept {
  const auto now = Clock::now();
  for (Slot& slot : slots_) {
    if (!slot.is_changing || slot.ghost.is_declared) continue;
    if (company_.fence->is_old(slot.sent_after, now)) company_.fence->declare(slot.ghost);
  }
  company_.fence->looked(now);
  // A lane that does not receive would not see the end; and what has no room now is stale then.
  if (awaits_capacity_ && stream_.peer_has_ended()) {
    hung_up_ = true;
    capacity_.raise();
  }
}

// True: the reply to this READ is in the pipe, and nothing is left to do.
bool Lane::answer_lent(Slot& slot) noexcept {
  if (lender_ == nullptr || send_error_ != 0) return false;
  slot.payload = slot.buffer;
  slot.header = read_header(slot.request);
  if (!replies_.push_lent(slot, *lender_)) return false;
  if (replies_.unsent_bytes() >= flush_bytes) flush();
  return true;
}

Task<Status> Lane::read(Slot& slot, Arrival& arrival) noexcept {
  if (!passes_pages_on_ || slot.buffer.size() < ArrivalPipe::smallest) {
    return backend_.read(slot.request.offset, slot.buffer);
  }
  return backend_.read_pages(slot.request.offset, slot.buffer, arrival);
}

// True: what this READ asked for has come by reference, and its reply is on the way.
bool Lane::answer_arrived(Slot& slot, const Arrival& arrival) noexcept {
  if (arrival.pipe == nullptr) return false;
  slot.payload = slot.buffer;
  slot.header = read_header(slot.request);
  replies_.push_arrived(slot, *arrival.pipe);
  if (replies_.unsent_bytes() >= flush_bytes) flush();
  return true;
}

ReplyHeader Lane::read_header(const Request& request) const noexcept {
  if (!transmission_.structured_replies) return encode_simple_reply(request.cookie, 0);
  return encode_data_chunk(request.cookie, request.offset, request.length);
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
    if (!lost_) {
      stats_.commands[static_cast<std::size_t>(stats_command_of(request.command))].errors.add(1);
    }
  } else if (request.command == Command::read) {
    slot.header = read_header(request);
  } else if (request.command == Command::block_status) {
    const auto extents = static_cast<std::uint32_t>(slot.payload.size() / sizeof(nbd::Extent));
    slot.header = encode_block_status_chunk(request.cookie, base_allocation_id, extents);
  } else {
    slot.header = encode_simple_reply(request.cookie, 0);
  }
  replies_.push(slot);
  if (replies_.unsent_bytes() >= flush_bytes) flush();
}

// Null: the peer has gone meanwhile.
Task<Slot*> Lane::claim_or_wait(std::size_t buffer_bytes) {
  Slot* slot = nullptr;
  awaits_capacity_ = true;
  while (slot == nullptr && !hung_up_) {
    capacity_.lower();
    co_await capacity_.wait();
    slot = claim(buffer_bytes);
  }
  awaits_capacity_ = false;
  now_ = Clock::now();
  co_return slot;
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
  slot->piped = 0;
  slot->is_in_use = true;
  ++in_flight_;
  stats_.in_flight.set(in_flight_);
  return slot;
}

void Lane::release(Slot& slot) noexcept {
  if (!slot.buffer.empty()) arena_.release(slot.buffer);
  slot.buffer = {};
  slot.is_in_use = false;
  slot.next = std::exchange(free_slots_, &slot);
  ENSURE(in_flight_ > 0);
  --in_flight_;
  if (!lost_) stats_.in_flight.set(in_flight_);
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
    if (!lost_) {
      counted.requests.add(1);
      counted.bytes.add(slot->request.length);
      counted.latency.add(now - slot->arrived);
    }
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
  if (awaits_idle_ && in_flight_ == 0 && !settled_.raised()) settled_.raise();
}

}  // namespace nbdring
