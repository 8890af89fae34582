#include "cli/keeper_process.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "cli/attached_device.hpp"
#include "cli/notify.hpp"
#include "cli/shelter.hpp"
#include "kernel/netlink.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds restart_pause_first{100};
constexpr milliseconds restart_pause_longest{5000};
constexpr seconds good_service{30};  // an engine that served for so long did not die of its start
constexpr seconds ping_interval{10};
// The front end of an engine that is well may be busy with the driver for a minute (waits.hpp).
constexpr seconds silence_longest{120};
constexpr seconds start_longest{180};  // of an engine that takes a device over
constexpr seconds same_line_pause{60};
constexpr seconds idle_longest{10};
constexpr milliseconds upgrade_look{200};
constexpr seconds stopped_for{5};  // nobody is kept from running for so long

bool driver_holds(const DeviceRecord& record) {
  const auto device = Sysfs().device(record.index);
  return device && device->attached && device->backend == record.id;
}

// All of it, the program's text included: see keeper.hpp.
void stay_whole_in_memory(Log& log) {
  if (!be_spared()) {
    log.warning("the keeper can be killed when memory is short", {{"reason", error_text(errno)}});
  }
  if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
    log.warning("the keeper's memory can be swapped out", {{"reason", error_text(errno)}});
  }
}

[[noreturn]] void die_of(int signal, TerminationSignals& signals) {
  signals.restore();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
  ::_exit(128 + signal);
}

}  // namespace

DeviceKeeper::DeviceKeeper(const EngineWork& work, KeeperState state, Announcer* announcer,
                           Log& log)
    : work_(work),
      state_(std::move(state)),
      announcer_(announcer),
      log_(log),
      watchdog_(notify_watchdog_interval()) {
  ::prctl(PR_SET_NAME, "nbdring-keeper");
  // Another engine is forked when the device is lost: no page of the fork may wait for it.
  ::prctl(PR_SET_IO_FLUSHER, 1UL, 0UL, 0UL, 0UL);
}

void DeviceKeeper::begin() {
  state_.kept = take_stored_descriptors();
  FileDescriptor& netlink = state_.kept[EngineLink::netlink_name];
  if (!netlink.is_open()) {
    netlink = open_netlink_socket();
    notify_store(EngineLink::netlink_name, netlink.get());
  }
  start_engine();
}

void DeviceKeeper::go_on_with(int engine, FileDescriptor channel) {
  engine_ = KeeperChild(engine, std::move(channel));
  engine_.serves_since = Clock::now();
  stay_whole_in_memory(log_);
}

int DeviceKeeper::run() {
  while (!done_) {
    wait();
    take_signals();
    take_messages(engine_);
    take_messages(candidate_);
    if (engine_.has_ended()) engine_ended();
    attend_candidate();
    attend_departing();
    attend_pings();
    feed_watchdog();
    if (done_ || engine_.is_there() || candidate_.is_there() || Clock::now() < restart_at_)
      continue;
    end_asked_ ? end_without_engine() : start_engine();
  }
  return exit_code_;
}

Deadline DeviceKeeper::next_look() const {
  Deadline next = Deadline::in(idle_longest);
  const auto wait_for_restart = std::chrono::ceil<milliseconds>(restart_at_ - Clock::now());
  if (!engine_.is_there()) next = next.at_most(std::max(wait_for_restart, milliseconds(0)));
  if (watchdog_.count() > 0) next = next.at_most(watchdog_ / 4);
  if (candidate_.is_there() || departing_.is_there()) next = next.at_most(upgrade_look);
  return next;
}

void DeviceKeeper::wait() {
  std::vector<pollfd> waits{{signals_.fd(), POLLIN, 0}};
  for (const KeeperChild* child : {&engine_, &candidate_, &departing_}) child->add_waits(waits);
  const Deadline next = next_look();
  ::poll(waits.data(), waits.size(), static_cast<int>(next.remaining().count()));
  // Who was stopped himself (SIGSTOP, a suspended machine) knows nothing of the time in between.
  if (Clock::now() > next.moment() + stopped_for) engine_.heard_at = Clock::now();
}

void DeviceKeeper::take_signals() {
  while (signals_.take() != 0) {
    end_asked_ = true;
    restart_at_ = {};
    if (engine_.is_there()) ::kill(engine_.process(), SIGTERM);
  }
}

void DeviceKeeper::take_messages(KeeperChild& from) {
  while (from.is_there()) {
    auto message = from.channel().take();
    if (!message) return;
    from.heard_at = Clock::now();
    &from == &engine_ ? take(std::move(*message)) : take_of_candidate(std::move(*message));
  }
}

void DeviceKeeper::take(ChannelMessage message) {
  if (message.word == "ready") {
    announce(message.text);
  } else if (message.word == "failed") {
    note_failure(message.text);
  } else if (message.word == "serving") {
    engine_.serves_since = Clock::now();
  } else if (message.word == "over") {
    over_ = true;
  } else if (message.word == "notify") {
    notify_text(message.text);
  } else if (message.word == "upgrade") {
    start_candidate(message.text);
  } else if (message.word == "upgrade-cancel") {
    candidate_.end();
  } else if (message.word == "hand-over") {
    hand_over(std::move(message));
  } else {
    take_of_device(std::move(message));
  }
}

// The lock says that somebody looks after the device, which systemd's store does not.
void DeviceKeeper::take_of_device(ChannelMessage message) {
  if (message.word == "keep" && message.descriptors.size() == 1) {
    FileDescriptor& kept = state_.kept[message.text];
    kept = std::move(message.descriptors.front());
    if (message.text != EngineLink::lock_name) notify_store(message.text, kept.get());
  } else if (message.word == "drop") {
    state_.kept.erase(message.text);
    notify_forget(message.text);
  } else if (message.word == "attached") {
    state_.record = record_from_json(message.text);
  } else if (message.word == "afresh") {
    FileDescriptor netlink = std::move(state_.kept[EngineLink::netlink_name]);
    for (const auto& [name, fd] : state_.kept) {
      if (name != EngineLink::netlink_name) notify_forget(name);
    }
    state_.kept.clear();
    state_.kept[EngineLink::netlink_name] = std::move(netlink);
  }
}

void DeviceKeeper::note_failure(const std::string& text) {
  const int kind = std::clamp(std::atoi(text.c_str()), static_cast<int>(FailureKind::failed),
                              static_cast<int>(FailureKind::cannot_attach));
  failure_.emplace(static_cast<FailureKind>(kind), text.substr(text.find(' ') + 1));
}

// The answer first, then what may take a moment.
void DeviceKeeper::announce(const std::string& text) {
  const std::size_t end = text.find('\n');
  try {
    if (announcer_ != nullptr) announcer_->ready(text.substr(end + 1), text.substr(0, end));
    engine_.channel().send("announced");
  } catch (const Failure&) {
    over_ = true;
    engine_.channel().send("unwanted");
  }
  announcer_ = nullptr;
  stay_whole_in_memory(log_);
}

void DeviceKeeper::finish(int exit_code) {
  done_ = true;
  exit_code_ = exit_code;
  for (const auto& [name, fd] : state_.kept) notify_forget(name);
  state_.kept.clear();
}

void DeviceKeeper::engine_ended() {
  take_messages(engine_);  // its last words
  const std::optional<int> status = engine_.reap();
  const bool served = engine_.has_served_for(seconds(0));
  const bool served_well = engine_.has_served_for(good_service);
  engine_.forget();
  if (candidate_.is_there() && has_sockets_) return;  // it goes on, or fails
  candidate_.end();
  if (over_ || !state_.record || !driver_holds(*state_.record)) return end_with_engine(status);
  if (served_well) restart_pause_ = milliseconds(0);
  const std::string cause = failure_ ? failure_->what() : end_text(status);
  if (served || !former_) note_stall(cause);
  restart_later(cause);
}

// One stall, however many engines fail before one serves again: it began when the last one that
// served ended.
void DeviceKeeper::note_stall(const std::string& cause) {
  former_.emplace();
  former_->record = *state_.record;
  former_->cause = cause;
  former_->ended = Clock::now();
  ++state_.stalls;
}

void DeviceKeeper::end_with_engine(const std::optional<int>& status) {
  if (announcer_ != nullptr && failure_) throw Failure(*failure_);
  if (announcer_ != nullptr && status && WIFSIGNALED(*status)) die_of(WTERMSIG(*status), signals_);
  if (failure_) log_.error(failure_->what());
  const bool has_left_files = !over_ && state_.record;
  const auto index = state_.record ? state_.record->index : 0;
  const bool exited = status && WIFEXITED(*status);
  finish(exited ? WEXITSTATUS(*status) : static_cast<int>(FailureKind::failed));
  if (has_left_files) RunFolder().forget(index);
}

// What keeps engines from starting is said once a minute, not with each try.
void DeviceKeeper::restart_later(const std::string& cause) {
  const auto now = Clock::now();
  if (cause != last_line_ || now - last_line_at_ > same_line_pause) {
    log_.warning("the engine has died: another one takes the device over",
                 {{"device", state_.record->device()}, {"reason", cause}});
    notify_text("STATUS=the engine has died (" + cause + "): recovering");
    last_line_ = cause;
    last_line_at_ = now;
  }
  restart_at_ = now + restart_pause_;
  restart_pause_ = std::clamp(restart_pause_ * 2, restart_pause_first, restart_pause_longest);
}

void DeviceKeeper::start_engine() {
  auto sockets = Channel::make_sockets();
  if (former_) {
    former_->restarts = ++state_.restarts;
    former_->stalls = state_.stalls;
  }
  failure_.reset();
  std::fflush(nullptr);
  const pid_t process = ::fork();
  if (process < 0 && !state_.record) fail_errno(FailureKind::failed, "cannot start an engine");
  if (process < 0) return restart_later(error_text(errno));
  if (process == 0) {
    sockets[0].reset();
    EngineLink::Start start;
    start.channel = std::move(sockets[1]);
    become_engine(std::move(start));
  }
  engine_ = KeeperChild(process, std::move(sockets[0]));
}

// In the forked process: nothing of the keeper's stays open.
void DeviceKeeper::become_engine(EngineLink::Start start) {
  start.keeper = ::getppid();
  start.kept = std::move(state_.kept);
  start.former = std::move(former_);
  start.directory = state_.directory;
  start.in_background = state_.in_background;
  if (announcer_ != nullptr) announcer_->leave();
  signals_.leave();
  run_as_engine(work_, std::move(start), log_);
}

// Asked to end while there is no engine that could do it.
void DeviceKeeper::end_without_engine() {
  const DeviceRecord record = *state_.record;
  finish(0);  // the lock is let go of
  try {
    const RunFolder folder;
    clean_up_after(record, folder, log_);
  } catch (const Failure& failure) {
    log_.error(failure.what());
    exit_code_ = static_cast<int>(failure.kind());
  }
}

// Unanswered for so long, the engine is not busy: it hangs.
void DeviceKeeper::attend_pings() {
  if (!engine_.is_there() || !state_.record || announcer_ != nullptr) return;
  const auto now = Clock::now();
  const bool serves = engine_.serves_since != Clock::time_point();
  if (!engine_.is_killed && now - engine_.heard_at > (serves ? silence_longest : start_longest)) {
    log_.error("the engine does not answer: it is killed", {{"device", state_.record->device()}});
    engine_.kill();
  }
  if (serves && now - engine_.pinged_at >= ping_interval) {
    engine_.channel().send("ping");
    engine_.pinged_at = now;
  }
}

// An engine that hangs is the keeper's to end: systemd would end them all.
void DeviceKeeper::feed_watchdog() {
  const auto now = Clock::now();
  if (watchdog_.count() == 0 || now < next_watchdog_) return;
  notify_text("WATCHDOG=1");
  next_watchdog_ = now + watchdog_ / 4;
}

}  // namespace nbdring
