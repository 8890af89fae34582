// An upgrade as the keeper sees it. The words, in their order (engine: the one that serves;
// candidate: the other program's, which is to serve):
//
//   engine -> keeper       upgrade PROGRAM     the candidate is started
//   candidate -> keeper    engine VERSION      it is an nbdring; to the engine: prepared VERSION
//   engine -> keeper       hand-over TEXT      with the connections, at a request boundary, its
//                                              backend closed; to the candidate: take TEXT
//   candidate -> keeper    taking              its backend is open, it begins to read from them
//   candidate -> keeper    serving             to the engine: done. The candidate is the engine.
//
// A candidate that fails before `taking` (also by ending, or by silence) has touched nothing: the
// engine hears `refused REASON` and goes on with its own copies of the connections. After `taking`
// nobody can tell what had been read: the engine hears `lost REASON` and ends, the connections with
// it, and another engine adopts the device.

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "cli/keeper_process.hpp"
#include "cli/notify.hpp"

namespace nbdring {
namespace {

using std::chrono::seconds;

constexpr seconds introduction_wait{10};  // for a program to say that it is an nbdring
constexpr seconds take_over_wait{40};     // from there to its service
constexpr seconds leave_wait{15};         // for an engine that has handed its device over

KeptDescriptors for_another_engine(const KeptDescriptors& kept) {
  KeptDescriptors copies;
  for (const auto& [name, fd] : kept) {
    if (!name.starts_with(Keepsakes::connection_prefix)) copies[name] = duplicate(fd.get());
  }
  return copies;
}

// For the candidate: what it would get from a keeper of its own version.
Passed passed_to_candidate(const KeeperState& state, FileDescriptor channel) {
  Passed passed;
  passed.to = Passed::To::engine;
  passed.state.directory = state.directory;
  passed.state.in_background = state.in_background;
  passed.state.record = state.record;
  passed.state.kept = for_another_engine(state.kept);
  passed.partner = ::getpid();
  passed.channel = std::move(channel);
  passed.former.emplace();
  passed.former->record = *state.record;
  passed.former->cause = "upgrade";
  passed.former->restarts = state.restarts;
  passed.former->stalls = state.stalls + 1;
  passed.former->is_alive = true;
  return passed;
}

}  // namespace

void DeviceKeeper::start_candidate(const std::string& program) {
  if (candidate_.is_there() || departing_.is_there() || !state_.record) {
    engine_.channel().send("refused", "another upgrade is under way");
    return;
  }
  auto sockets = Channel::make_sockets();
  const Passed passed = passed_to_candidate(state_, std::move(sockets[1]));
  Passage passage(program, passed);
  const pid_t process = ::fork();
  if (process == 0) {
    signals_.restore();
    ::_exit(128 + (passage.execute() & 127));
  }
  if (process < 0) {
    engine_.channel().send("refused", "cannot start a process: " + error_text(errno));
    return;
  }
  candidate_ = KeeperChild(process, std::move(sockets[0]));
  new_state_ = {};
  program_ = program;
  candidate_word_.clear();
  is_introduced_ = has_sockets_ = has_begun_ = has_moved_ = false;
  candidate_until_ = Clock::now() + introduction_wait;
}

void DeviceKeeper::take_of_candidate(ChannelMessage message) {
  if (message.word == "engine") {
    is_introduced_ = true;
    candidate_until_ = Clock::now() + take_over_wait;
    engine_.channel().send("prepared", message.text);
  } else if (message.word == "taking") {
    has_begun_ = true;
  } else if (message.word == "failed") {
    candidate_word_ = message.text.substr(message.text.find(' ') + 1);
  } else if (message.word == "keep" && message.descriptors.size() == 1) {
    new_state_.kept[message.text] = std::move(message.descriptors.front());
  } else if (message.word == "drop") {
    new_state_.kept.erase(message.text);
  } else if (message.word == "attached") {
    new_state_.record = record_from_json(message.text);
  } else if (message.word == "serving") {
    candidate_serves();
  }
}

// Nothing of the connections stays here: the driver must see their end when the candidate dies.
void DeviceKeeper::hand_over(ChannelMessage message) {
  if (!candidate_.is_there() || !is_introduced_) {
    engine_.channel().send("refused", "the other program has ended");
    return;
  }
  std::vector<int> sockets;
  for (const FileDescriptor& socket : message.descriptors) sockets.push_back(socket.get());
  has_sockets_ = candidate_.channel().send("take", message.text, sockets);
}

void DeviceKeeper::attend_candidate() {
  if (!candidate_.is_there()) return;
  if (candidate_.has_ended()) {
    take_messages(candidate_);  // its last words
    if (!candidate_.is_there()) return;
    const std::string how = end_text(candidate_.reap());
    const std::string why = candidate_word_.empty() ? how : candidate_word_;
    candidate_failed(is_introduced_
                         ? "the new engine failed: " + why
                         : program_ + " is no nbdring that can take a device over (" + why + ")");
  } else if (Clock::now() > candidate_until_) {
    candidate_failed(is_introduced_ ? "the new engine did not serve in time"
                                    : program_ +
                                          " is no nbdring that can take a device over: it "
                                          "does not answer");
  }
}

void DeviceKeeper::candidate_failed(const std::string& why) {
  candidate_.end();
  log_.warning("the device could not be handed to another program", {{"reason", why}});
  if (engine_.is_there()) {
    engine_.channel().send(has_begun_ ? "lost" : "refused", why);
    return;
  }
  note_stall("died in an upgrade");
  restart_later(why);
}

void DeviceKeeper::candidate_serves() {
  ++state_.stalls;
  for (auto& [name, fd] : new_state_.kept) {
    if (name != EngineLink::lock_name) notify_store(name, fd.get());
    state_.kept[name] = std::move(fd);
  }
  if (new_state_.record) state_.record = std::move(new_state_.record);
  if (engine_.is_there()) engine_.channel().send("done");
  departing_ = std::exchange(engine_, std::exchange(candidate_, KeeperChild()));
  departing_.heard_at = engine_.serves_since = Clock::now();
  has_moved_ = true;
}

// When the former engine has gone the keeper becomes the new program as well.
void DeviceKeeper::attend_departing() {
  if (!has_moved_ || !engine_.is_there()) return;
  const bool is_late = Clock::now() - departing_.heard_at > leave_wait;
  if (departing_.is_there() && !departing_.has_ended() && !is_late) return;
  departing_.end();
  has_moved_ = false;
  Passed passed;
  passed.to = Passed::To::keeper;
  passed.partner = engine_.process();
  passed.channel = duplicate(engine_.channel().fd());
  passed.state = std::move(state_);
  Passage passage(program_, passed);
  const int error = passage.execute();
  state_ = std::move(passed.state);
  log_.warning("the keeper stays what it was: the new program does not start",
               {{"reason", error_text(error)}});
}

}  // namespace nbdring
