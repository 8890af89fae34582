#include "backends/nbd/connection_state.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// Requests of this many bytes go out at once: the payloads are still in the cache, and the server
// has work meanwhile.
constexpr std::size_t flush_bytes = 128 * 1024;

// READs from here on are not worth receiving behind others: what came along is copied.
constexpr std::size_t large_read = 16 * 1024;

constexpr unsigned index_bits = 16;  // of a cookie
constexpr std::uint64_t index_mask = (1U << index_bits) - 1;

constexpr std::uint64_t deadlines_max = 16;
constexpr std::uint64_t moving_bytes = 512 * 1024;  // in a deadline: the server is busy

ConnectionSlot& slot_of(AwaitedReply& reply) { return static_cast<ConnectionSlot&>(reply); }

std::uint64_t random_number() {
  std::uint64_t number = 0;
  while (::getrandom(&number, sizeof number, 0) != sizeof number) ENSURE(errno == EINTR);
  return number;
}

}  // namespace

/// Where a request waits for a slot, in the order of coming.
class Connection::State::FreeSlot {
 public:
  explicit FreeSlot(State& state) : state_(state) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) noexcept {
    waiting_ = waiting;
    FreeSlot*& link =
        state_.first_waiting_ == nullptr ? state_.first_waiting_ : state_.last_waiting_->next_;
    link = this;
    state_.last_waiting_ = this;
    ++state_.waiting_;
  }
  void await_resume() const noexcept {}

  static void resume_first(State& state) noexcept {
    FreeSlot* first = state.first_waiting_;
    state.first_waiting_ = first->next_;
    --state.waiting_;
    first->waiting_.resume();
  }

 private:
  State& state_;
  std::coroutine_handle<> waiting_;
  FreeSlot* next_ = nullptr;
};

/// Where a request waits for its reply.
class Connection::State::Reply {
 public:
  explicit Reply(ConnectionSlot& slot) : slot_(slot) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) noexcept { slot_.waiting = waiting; }
  void await_resume() const noexcept {}

 private:
  ConnectionSlot& slot_;
};

Connection::State::State(Loop& loop, Dialled dialled_now, const ConnectionOptions& options)
    : TurnEnd(loop),
      dialled(std::move(dialled_now)),
      loop_(loop),
      stream_(dialled.stream()),
      options_(options),
      scope_(loop.frames()),
      slots_(options.requests_max),
      cookie_base_(random_number()),
      queue_(stream_, options.requests_max),
      decoder_(dialled.transmission, dialled.base_allocation_context, *this),
      ahead_(std::make_unique<std::array<std::byte, ahead_bytes>>()) {
  ENSURE(options.requests_max > 0 && options.requests_max <= index_mask);
  for (ConnectionSlot& slot : slots_) free_.push(slot);
  scope_.spawn(send_when_writable());
  scope_.spawn(receive());
  watchdog_.emplace(loop_, options_.request_deadline / ticks_per_deadline, *this, &State::tick);
  arrival_pipe_.open(stream_);
}

Task<Answer> Connection::State::ask(Question question) {
  if (!is_lost && (free_.empty() || first_waiting_ != nullptr)) {
    co_await FreeSlot(*this);
  }
  if (is_lost) co_return Answer::lost();
  ConnectionSlot& slot = begin(question);
  co_await Reply(slot);
  co_return finish(slot, question.list);
}

ConnectionSlot& Connection::State::begin(const Question& question) noexcept {
  ConnectionSlot& slot = *free_.pop();
  const auto index = static_cast<std::uint64_t>(&slot - slots_.data());
  ++slot.generation;
  AwaitedReply& reply = slot;
  reply.cookie = cookie_base_ ^ (slot.generation << index_bits | index);
  reply.command = question.command;
  reply.offset = question.offset;
  reply.length = question.length;
  reply.data = question.data;
  slot.arrival = question.arrival;
  reply.extents = {};
  if (question.list != nullptr) reply.extents = question.list->descriptors;
  reply.one_extent = (question.flags & nbd::cmd_flag_req_one) != 0;
  reply.error = 0;
  reply.extents_used = 0;
  reply.extents_length = 0;
  reply.chunks = 0;
  reply.has_status = false;
  reply.covered.clear();

  slot.header = encode_request(question.command, question.flags, reply.cookie, question.offset,
                               question.length, dialled.transmission.extended_headers);
  slot.payload = question.payload;
  slot.is_in_flight = true;
  slot.is_offered = slot.is_sent = slot.is_answered = slot.is_lost = false;
  slot.begun_tick = slot.progress_tick = ticks_;
  slot.answers_before = answers_;
  ++in_flight_;
  reads_in_flight_ += question.data.size();
  queue_.push(slot);
  has_work();
  if (queue_.unsent_bytes() >= flush_bytes) flush();
  return slot;
}

Answer Connection::State::finish(ConnectionSlot& slot, ExtentList* list) noexcept {
  const Answer answer =
      slot.is_lost ? Answer::lost() : Answer::of(Status::from_errno(errno_from_nbd(slot.error)));
  if (list != nullptr) list->used = slot.extents_used;
  reads_in_flight_ -= slot.command == Command::read ? slot.length : 0;
  slot.is_in_flight = false;
  slot.waiting = nullptr;
  --in_flight_;
  free_.push(slot);
  return answer;
}

AwaitedReply* Connection::State::find(std::uint64_t cookie) noexcept {
  const std::uint64_t index = (cookie ^ cookie_base_) & index_mask;
  if (index >= slots_.size()) return nullptr;
  ConnectionSlot& slot = slots_[index];
  const bool awaits = slot.is_in_flight && slot.is_offered && !slot.is_answered;
  return awaits && slot.cookie == cookie ? &slot : nullptr;
}

void Connection::State::hand_on_slots() noexcept {
  while (first_waiting_ != nullptr && !free_.empty()) FreeSlot::resume_first(*this);
}

void Connection::State::turn_ended() noexcept {
  receives_ = 0;
  flush();
}

void Connection::State::flush() noexcept {
  if (is_lost || queue_.empty() || blocked_.raised()) return;
  const int result = queue_.send();
  if (result == -EAGAIN) {
    blocked_.raise();
  } else if (result < 0) {
    // The receiving side sees the same end soon, or what the server said before it.
    lose("sending failed: " + error_text(-result));
  }
}

Task<void> Connection::State::send_when_writable() {
  for (;;) {
    co_await blocked_.wait();
    if (is_lost || ending_) co_return;
    co_await stream_.writable();
    if (is_lost) co_return;
    blocked_.lower();
    flush();
    ConnectionSlot* late = queue_.take_late();
    while (late != nullptr && !is_lost) {
      late->waiting.resume();
      late = is_lost ? nullptr : queue_.take_late();
    }
    if (!is_lost) hand_on_slots();
  }
}

Task<void> Connection::State::receive() {
  for (;;) {
    if (!may_receive_) {
      co_await stream_.readable();
    }
    const ssize_t result = receive_some();
    if (result == -EAGAIN || result == -EINTR) {
      may_receive_ = false;
      continue;
    }
    if (result <= 0) {
      stream_ended(result);
      break;
    }
    received_bytes_ += static_cast<std::uint64_t>(result);
    if (!is_lost) digest(std::span(*ahead_).first(ahead_used_));
  }
  receive_ended_.raise();
}

// The data that is on its way goes to its place; what is behind it into our own buffer.
ssize_t Connection::State::receive_some() noexcept {
  const std::span<std::byte> data = is_lost ? std::span<std::byte>() : decoder_.data_rest();
  if (!is_lost && receives_pages()) {
    const ssize_t result = receive_pages(data.size());
    if (result != -ENOBUFS) return result;
  }
  std::array<iovec, 2> buffers{iovec{data.data(), data.size()},
                               iovec{ahead_->data(), is_lost ? ahead_bytes : read_ahead()}};
  const std::size_t asked = buffers[0].iov_len + buffers[1].iov_len;
  const ssize_t result = stream_.receive(std::span(buffers).subspan(data.empty() ? 1 : 0));
  if (result <= 0) return result;
  const auto bytes = static_cast<std::size_t>(result);
  const std::size_t in_place = std::min(bytes, data.size());
  if (in_place > 0) decoder_.data_received(in_place);
  ahead_used_ = bytes - in_place;
  may_receive_ = bytes == asked && ++receives_ < receives_per_turn;
  return result;
}

std::size_t Connection::State::read_ahead() const noexcept {
  const bool large = decoder_.data_rest().size() >= large_read ||
                     (in_flight_ > 0 && reads_in_flight_ / in_flight_ >= large_read);
  return large ? decoder_.bytes_before_data() : ahead_bytes;
}

void Connection::State::digest(std::span<const std::byte> input) noexcept {
  while (!is_lost) {
    switch (decoder_.decode(input)) {
      case ReplyDecoder::Event::more:
        if (decoder_.under_way() != nullptr) {
          slot_of(*decoder_.under_way()).progress_tick = ticks_;
        }
        return;
      case ReplyDecoder::Event::answered:
        answered(slot_of(decoder_.answered()));
        break;
      case ReplyDecoder::Event::broken:
        was_misled = true;
        lose("the server broke the protocol: " + describe(decoder_.broken()));
        break;
    }
  }
}

void Connection::State::answered(ConnectionSlot& slot) noexcept {
  if (slot.error == nbd::eshutdown) {
    lose("the server is shutting down");
    return;
  }
  ++answers_;
  slot.is_answered = true;
  if (!slot.is_sent) {
    // Its payload is still needed; send_when_writable() goes on with it.
    arrival_pipe_.copy_to(slot.data);
    return;
  }
  resume(slot);
  if (!is_lost) hand_on_slots();
}

void Connection::State::stream_ended(ssize_t result) {
  const int error = static_cast<int>(-result);
  // A reset may come from anything that stands between us and the server; on a socket that has
  // nothing between, it is the server's own end.
  server_ended_ = result == 0 || ((error == ECONNRESET || error == EPIPE) && !dialled.tls &&
                                  dialled.socket->is_local());
  if (result < 0) {
    lose("receiving failed: " + error_text(error));
  } else if (decoder_.in_message()) {
    lose("the server closed the connection in the middle of a reply");
  } else {
    lose("the server closed the connection");
  }
}

void Connection::State::lose(std::string reason) {
  if (is_lost) return;
  is_lost = true;
  lost_reason = std::move(reason);
  goodbye_fits_ = queue_.is_between_requests();
  queue_.clear();
  watchdog_.reset();
  announcement_.emplace(loop_, Clock::duration::zero(), *this, &State::announce_loss);
}

void Connection::State::announce_loss() {
  for (ConnectionSlot& slot : slots_) {
    if (!slot.is_in_flight) continue;
    slot.is_lost = true;
    slot.waiting.resume();
  }
  while (first_waiting_ != nullptr) FreeSlot::resume_first(*this);
  announced_.raise();
}

void Connection::State::tick() {
  ++ticks_;
  const std::uint64_t moved = queue_.sent_bytes() + received_bytes_;
  std::uint64_t& moved_before = moved_at_tick_[ticks_ % ticks_per_deadline];
  const bool moving = moved - std::exchange(moved_before, moved) >= moving_bytes;
  for (const ConnectionSlot& slot : slots_) {
    if (!slot.is_in_flight || !has_stalled(slot, moving)) continue;
    lose("no answer for " + duration_text(options_.request_deadline));
    return;
  }
  watchdog_.emplace(loop_, options_.request_deadline / ticks_per_deadline, *this, &State::tick);
}

bool Connection::State::has_stalled(const ConnectionSlot& slot, bool moving) const noexcept {
  if (ticks_ - slot.begun_tick > deadlines_max * ticks_per_deadline) return true;
  if (ticks_ - slot.progress_tick <= ticks_per_deadline) return false;
  const bool overtaken = answers_ - slot.answers_before > 2 * slots_.size();
  return !moving || overtaken;
}

Task<void> Connection::State::wait_lost() { co_await announced_.wait(); }

Task<Connection::Fence> Connection::State::end(std::chrono::milliseconds deadline) {
  ENSURE(!ending_);
  ending_ = true;
  lose("it was ended");
  co_await announced_.wait();
  if (!receive_ended_.raised()) {
    patience_.emplace(loop_, deadline, *this, &State::give_up_waiting);
    if (goodbye_fits_) say_goodbye();
    dialled.socket->end_sending();
    co_await receive_ended_.wait();
  }
  patience_.reset();
  if (!blocked_.raised()) blocked_.raise();
  stream_.shut_down();  // whoever waits to send
  co_await scope_.join();
  // Leave the stack of whoever noticed the end: it may be this object's own timer.
  co_await loop_.sleep(Clock::duration::zero());
  co_return server_ended_ && !out_of_patience_ ? Fence::closed : Fence::unknown;
}

// One message without a reply. If it does not fit, the end of our side says the same.
void Connection::State::say_goodbye() noexcept {
  const EncodedRequest header = encode_request(Command::disconnect, 0, cookie_base_, 0, 0,
                                               dialled.transmission.extended_headers);
  iovec buffer{const_cast<std::byte*>(header.bytes.data()), header.size};
  stream_.send(std::span(&buffer, 1));
}

void Connection::State::give_up_waiting() {
  out_of_patience_ = true;
  stream_.shut_down();
  dialled.socket->reset();
}

}  // namespace nbdring
