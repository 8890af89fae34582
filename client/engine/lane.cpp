#include "client/engine/lane.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <variant>

namespace nbdring {
namespace {

// A client that always has more must not keep the loop from its timers and messages.
constexpr unsigned receives_per_turn = 64;

// So many requests that came alone: the client has one at a time in flight.
constexpr unsigned singles_in_a_row = 16;

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

}  // namespace

Lane::Lane(Loop& loop, Stream& stream, BackendLane& backend, const Export& about,
           const TransmissionOptions& transmission, const LaneOptions& options, LaneStats& stats,
           const LaneCompany& company)
    : TurnEnd(loop),
      loop_(loop),
      stream_(stream),
      backend_(backend),
      about_(about),
      transmission_(transmission),
      options_(options),
      stats_(stats),
      company_(company),
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
  if (company_.fence != nullptr) scope.spawn(look_regularly());
  if (options_.lends) lender_ = backend_.lender();
  if (lender_ != nullptr && !stream_.takes_pages()) lender_ = nullptr;
  passes_pages_on_ = backend_.passes_pages_on() && stream_.takes_pages();
  if (lender_ != nullptr || passes_pages_on_) replies_.open_pipe();
  stats_.state = LaneState::serving;
  const LaneEnd end = co_await receive();

  const bool is_over = company_.watcher != nullptr && !end.is_handed_on;
  if (is_over && company_.watcher->is_lost(end)) lose();
  if (!lost_) stats_.state = LaneState::draining;
  while (in_flight_ > 0) {
    co_await settle();
  }

  ending_ = true;
  for (Slot& slot : slots_) slot.waiting.resume();
  blocked_.raise();
  look_due_.raise();
  co_await scope.join();
  // Leave the stack of whoever noticed the end: it may be this object's own turn_ended().
  co_await loop_.sleep(Clock::duration::zero());
  if (!lost_) stats_.state = LaneState::ended;
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
      if (request.command == Command::disconnect) co_return LaneEnd{true, "", true};

      Slot* slot = claim(buffer_bytes_of(request));
      if (slot == nullptr) {
        slot = co_await claim_or_wait(buffer_bytes_of(request));
        if (slot == nullptr) co_return stream_end(true);
      }
      slot->request = request;
      slot->arrived = received_at_;
      slot->sent_after = sent_after_;
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
    const bool in_message = reader_.available() > 0;
    if (wish_ != Wish::serve && !in_message) {
      co_await park();
      if (wish_ == Wish::hand_on) co_return LaneEnd{true, "", false, true};
    }
    singles_ = batch < 2 && in_flight_ == 0 ? singles_ + 1 : 0;
    // With nothing in flight and requests coming in numbers there are likely more: asking is
    // cheaper than waiting.
    if (batch < 2 || in_flight_ > 0 || receives_ >= receives_per_turn) {
      if (singles_ >= singles_in_a_row && !in_message) loop_.expect_soon();
      co_await wait_readable(in_message);
      if (wish_ != Wish::serve && !in_message) continue;
    }
    const std::size_t header_rest = sizeof(nbd::RequestHeader) - reader_.available();
    receive_some({}, header_rest);
    if (receive_result_ == -EAGAIN || receive_result_ == -EINTR) {
      co_await wait_readable(in_message);
      continue;
    }
    if (receive_result_ <= 0) co_return stream_end(in_message);
  }
}

// message_rest: what is still to come of the message in the reader's own buffer. A lane that is to
// stop at its end reads nothing beyond.
RequestReader::Received Lane::receive_some(std::span<std::byte> payload_rest,
                                           std::size_t message_rest) {
  ++receives_;
  const auto received =
      reader_.receive(payload_rest, wish_ == Wish::serve ? RequestReader::any : message_rest);
  receive_result_ = received.result;
  if (received.result <= 0) return received;
  if (reader_.available() > 0 || company_.fence != nullptr) now_ = Clock::now();
  if (reader_.available() > 0) received_at_ = now_;
  if (received.took_all) {
    sent_after_ = std::exchange(emptied_before_, std::exchange(emptied_, now_));
  }
  return received;
}

Task<bool> Lane::receive_payload(Slot& slot, std::size_t have) {
  flush();  // what is ready does not wait for bytes that may take their time
  while (have < slot.buffer.size()) {
    if (receives_ >= receives_per_turn) {
      co_await wait_readable(true);
    }
    const auto received = receive_some(slot.buffer.subspan(have), 0);
    if (receive_result_ == -EAGAIN || receive_result_ == -EINTR) {
      co_await wait_readable(true);
      continue;
    }
    if (receive_result_ <= 0) co_return false;
    have += received.payload_bytes;
  }
  co_return true;
}

// Drains the payload of a WRITE that was refused, so that the next header is where it is expected,
// and answers.
Task<bool> Lane::refuse(const Refusal& refusal) {
  std::size_t left = refusal.payload;
  left -= reader_.drop(left);
  while (left > 0) {
    if (receives_ >= receives_per_turn) {
      co_await wait_readable(true);
    }
    receive_some({}, left);
    if (receive_result_ == -EAGAIN || receive_result_ == -EINTR) {
      co_await wait_readable(true);
      continue;
    }
    if (receive_result_ <= 0) co_return false;
    left -= reader_.drop(left);
  }
  Slot* slot = claim(0);
  if (slot == nullptr) {
    slot = co_await claim_or_wait(0);
    if (slot == nullptr) co_return false;
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

// Waits until nothing is in flight, or a wish has come.
Task<void> Lane::settle() {
  awaits_idle_ = in_flight_ > 0;
  settled_.lower();
  co_await settled_.wait();
  awaits_idle_ = false;
}

Task<void> Lane::park() {
  while (wish_ == Wish::pause && in_flight_ > 0) {
    co_await settle();
  }
  if (wish_ == Wish::pause) {
    stats_.state = LaneState::paused;
    company_.watcher->parked();
  }
  while (wish_ == Wish::pause) {
    co_await settle();
  }
  stats_.state = LaneState::serving;
}

void Lane::wish(Wish wish) noexcept {
  wish_ = wish;
  if (wish == Wish::pause) return stream_.stop_waiting();
  if (!settled_.raised()) settled_.raise();
}

void Lane::pause() noexcept {
  ENSURE(company_.watcher != nullptr);
  wish(Wish::pause);
}

void Lane::resume() noexcept { wish(Wish::serve); }

void Lane::hand_on() noexcept {
  ENSURE(wish_ == Wish::pause && in_flight_ == 0);
  wish(Wish::hand_on);
}

// The order matters: the others must know the ghosts before the owner lets another connection take
// this one's place, and nothing may be begun after they were declared.
void Lane::lose() noexcept {
  lost_ = true;
  auto oldest = Clock::duration::zero();
  const auto now = Clock::now();
  for (Slot& slot : slots_) {
    if (!slot.is_in_use) continue;
    oldest = std::max(oldest, now - slot.arrived);
    if (slot.is_changing && !slot.ghost.is_declared) company_.fence->declare(slot.ghost);
  }
  stats_.in_flight.set(0);
  stats_.state = LaneState::lost;
  if (company_.fence != nullptr) company_.fence->leave();
  stream_.shut_down();  // it may be us who found fault
  backend_.give_up();
  company_.watcher->lost(oldest);
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
