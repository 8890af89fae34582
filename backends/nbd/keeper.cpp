#include "backends/nbd/keeper.hpp"

#include <algorithm>
#include <utility>

#include "backends/nbd/remote_identity.hpp"
#include "backends/nbd/replay.hpp"
#include "backends/nbd/shape_rules.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr unsigned flaps_free = 2;  // successes that did not last before they cost a pause...
constexpr unsigned flaps_max = 6;   // ...which grows no further
constexpr std::chrono::seconds lasting{1};        // a success shorter than this was none
constexpr std::chrono::seconds short_window{60};  // below it the pauses are short, too...
constexpr std::chrono::milliseconds short_pause{5'000};
constexpr unsigned attempts_per_line = 10;

}  // namespace

Keeper::Keeper(Loop& loop, const ConnectionSource& source, Remote& remote,
               const RemoteOptions& options, RemoteLog& log)
    : loop_(loop),
      source_(source),
      remote_(remote),
      options_(options),
      log_(log),
      jitter_(options.jitter_seed) {}

Task<void> Keeper::start() {
  remote_.take_former();  // first: the server may allow one connection only
  auto dialled = co_await source_.dial(loop_);
  presented(dialled.about);  // throws what cannot be used, while there is nothing yet to be ended
  remote_.set_identity(dialled.about, dialled.tls_report);
  if (!options_.read_only && !dialled.about.is_read_only() && !remote_.keeps_journal()) {
    log_.say(LogLevel::warning,
             "the server has no FLUSH: what it acknowledges counts as written, and is not written "
             "again after a loss");
  }
  const bool many = remote_.identity().has(nbd::flag_can_multi_conn) &&
                    source_.reaches_one_server() && !rewrites_blocks(remote_.identity());
  if (!many) remote_.set_single();
  remote_.open_journals();
  ConnectionHold hold = remote_.hold(*dialled.socket);
  spare_ = make_link(loop_, std::move(dialled), options_.connection, std::move(hold));
  if (!many) use_one_connection();
  adopts_ = remote_.work().recover;
  remote_.set_keeper(*this);
}

void Keeper::use_one_connection() {
  remote_.set_single();
  sole_ = std::make_unique<NbdLane>(loop_, source_, remote_, options_, &spare_);
  carrier_ = std::make_unique<Carrier>(loop_, *sole_);
  remote_.set_carrier(*carrier_);
}

void Keeper::stop() noexcept {
  stopping_ = true;
  wake();
}

void Keeper::wake() noexcept {
  if (!wake_posted_.exchange(true, std::memory_order_acq_rel)) loop_.post(wake_);
}

void Keeper::woken() noexcept {
  wake_posted_.store(false, std::memory_order_release);
  // Nobody will bring the server back: what waits for it, our own lane's last flush, is over.
  if (stopping_ && remote_.work().is_lost) remote_.abandon();
  // A dial has deadlines, and they have come.
  if (is_ending() && remote_.work().is_lost) loop_.hurry();
  attention_.raise();
}

Task<void> Keeper::run() {
  while (!stopping_) {
    attention_.lower();
    const Remote::Work work = remote_.work();
    watch_window(work);
    if (work.recover && !remote_.was_misled_too_often()) {
      co_await recover();
    } else if (spare_ && !carrier_ && work.has_server) {
      co_await drop(std::move(spare_), false);
    } else {
      if (work.recover) remote_.refuse("the server keeps breaking the protocol");
      co_await attention_.wait();
    }
  }
  co_await end_all();
}

Task<void> Keeper::recover() {
  flaps_ = Clock::now() - recovered_at_ < lasting ? flaps_ + 1 : 0;
  attempts_ = std::clamp(flaps_, flaps_free, flaps_max) - flaps_free;
  if (attempts_ > 0) {
    co_await wait_until(Clock::now() + next_pause());
  }
  while (!is_ending()) {
    std::string failure;
    ++attempts_;
    const bool is_back = co_await try_to_recover(failure);
    if (is_back) co_return;
    tell_attempt(failure);
    co_await wait_until(Clock::now() + next_pause());
  }
}

Task<bool> Keeper::try_to_recover(std::string& failure) {
  const bool has_one = std::exchange(adopts_, false) && spare_;
  if (!has_one) {
    co_await dial_again(failure);
  }
  if (!spare_) co_return false;
  const bool is_written = co_await write_again(*spare_, failure);
  if (!is_written) {
    co_await drop(std::move(spare_), true);
    co_return false;
  }
  const bool needs_one =
      remote_.work().single || !spare_->connection.about().has(nbd::flag_can_multi_conn);
  if (needs_one && !carrier_) use_one_connection();
  log_.say(LogLevel::info, "back at " + options_.endpoint + " after " +
                               duration_text(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   Clock::now() - remote_.work().lost_at)) +
                               ": wrote " + std::to_string(replayed_writes_) +
                               " acknowledged writes (" + std::to_string(replayed_bytes_) +
                               " bytes) again");
  recovered_at_ = Clock::now();
  window_.reset();
  remote_.recovered();
  co_return true;
}

Task<void> Keeper::dial_again(std::string& failure) {
  if (spare_) {
    co_await drop(std::move(spare_), false);
  }
  try {
    auto dialled = co_await source_.dial(loop_);
    failure = difference(remote_.identity(), dialled.about);
    if (failure.empty()) {
      remote_.note_size(dialled.about.size);
      ConnectionHold hold = remote_.hold(*dialled.socket);
      spare_ = make_link(loop_, std::move(dialled), options_.connection, std::move(hold));
    } else {
      remote_.refuse(failure);
    }
  } catch (const std::exception& error) {
    failure = error.what();
  }
}

// Nothing is written before the fence: not the journals, and not what is parked.
Task<bool> Keeper::write_again(Link& link, std::string& failure) {
  if (remote_.awaits_former() && !is_ending()) {
    const bool has_ended = co_await remote_.kept().see_former_end(loop_, remote_.fence());
    remote_.former_seen(has_ended);
  }
  while (Clock::now() < remote_.fence() && !is_ending()) {
    co_await wait_until(remote_.fence());
  }
  if (is_ending()) co_return false;
  auto journals = remote_.journals();
  const auto result = co_await replay(loop_, link, std::move(journals), remote_.durable());
  failure = result.failure;
  replayed_writes_ = result.writes;
  replayed_bytes_ = result.bytes;
  if (result.is_done) remote_.replayed(result.writes, result.bytes);
  co_return result.is_done;
}

Task<void> Keeper::drop(std::unique_ptr<Link> link, bool had_changes) {
  const auto deadline = is_ending() ? std::chrono::milliseconds(0) : options_.end_deadline;
  const auto fence = co_await link->connection.end(deadline);
  co_await loop_.sleep(Clock::duration::zero());  // off the connection's own stack
  remote_.note_end(fence, had_changes);
}

Task<void> Keeper::wait_until(Clock::time_point when) {
  const Alarm alarm(loop_, when, attention_);
  while (!is_ending() && !alarm.has_expired()) {
    attention_.lower();
    co_await attention_.wait();
  }
}

Task<void> Keeper::end_all() {
  window_.reset();
  if (carrier_) {
    co_await carrier_->drain();
    carrier_.reset();
    const Status ignored = co_await sole_->close();  // what is not durable is told by the backend
    static_cast<void>(ignored);
    sole_.reset();
  }
  if (spare_) {
    co_await drop(std::move(spare_), false);
  }
  while (wake_posted_.load(std::memory_order_acquire)) {
    co_await loop_.sleep(std::chrono::milliseconds(1));
  }
}

void Keeper::watch_window(const Remote::Work& work) {
  if (!options_.recovery_window || !work.is_lost) return;
  if (!window_) {
    window_ = std::make_unique<Window>(loop_, work.lost_at + *options_.recovery_window, *this);
  }
}

void Keeper::window_is_over() {
  remote_.refuse("it has been away for more than " + duration_text(*options_.recovery_window));
}

void Keeper::tell_attempt(const std::string& failure) {
  if (attempts_ % attempts_per_line != 0) return;
  log_.say(LogLevel::info,
           options_.endpoint + " is still away after " + std::to_string(attempts_) + " attempts",
           failure);
}

// Twice as long each time, and a quarter more or less. Where the attempt itself waits, the pause
// only keeps a server that comes and fails at once from keeping us busy.
Clock::duration Keeper::next_pause() {
  if (source_.waits_by_itself()) return options_.backoff_first;
  const bool is_short = options_.recovery_window && *options_.recovery_window < short_window;
  const auto longest =
      is_short ? std::min(options_.backoff_max, short_pause) : options_.backoff_max;
  const auto grown = options_.backoff_first * (1U << std::min(attempts_ - 1, 16U));
  const auto pause = std::chrono::microseconds(std::min(grown, longest)).count();
  return std::chrono::microseconds(pause * (750 + static_cast<int>(jitter_() % 501)) / 1000);
}

}  // namespace nbdring
