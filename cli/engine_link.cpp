#include "cli/engine_link.hpp"

#include <algorithm>
#include <utility>

#include "cli/daemon.hpp"
#include "cli/keeper.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::seconds announcement_wait{10};  // the keeper writes a line

}  // namespace

EngineLink::EngineLink(Start start)
    : channel_(std::move(start.channel)),
      keeper_(start.keeper),
      directory_(std::move(start.directory)),
      kept_(std::move(start.kept)),
      former_(std::move(start.former)),
      in_background_(start.in_background) {
  ENSURE(keeper_ > 0 && channel_.fd() >= 0);
}

std::optional<FileDescriptor> EngineLink::find(const std::string& name) {
  const std::lock_guard lock(kept_lock_);
  const auto found = kept_.find(name);
  if (found == kept_.end()) return std::nullopt;
  return duplicate(found->second.get());
}

void EngineLink::keep(const std::string& name, int fd) {
  ENSURE(!name.empty() && name.find(' ') == std::string::npos);
  const std::lock_guard lock(kept_lock_);
  kept_[name] = duplicate(fd);
  if (channel_.send("keep", name, {fd})) return;
  throw Failure(FailureKind::failed, "the keeper of this engine has died: '" + name +
                                         "' would be lost with the engine; attach it again");
}

void EngineLink::drop(const std::string& name) noexcept {
  const std::lock_guard lock(kept_lock_);
  kept_.erase(name);
  channel_.send("drop", name);
}

FileDescriptor EngineLink::netlink() {
  auto socket = find(netlink_name);
  return socket ? std::move(*socket) : FileDescriptor();
}

void EngineLink::start_afresh() {
  const std::lock_guard lock(kept_lock_);
  FileDescriptor netlink = std::move(kept_[netlink_name]);
  kept_.clear();
  kept_[netlink_name] = std::move(netlink);
  channel_.send("afresh");
}

void EngineLink::attached(const DeviceRecord& record) {
  channel_.send("attached", to_json(record));
}

// The streams before the word: the starter's reader waits until the last writer has closed them.
void EngineLink::ready(const std::string& line, const std::string& log_path) {
  if (in_background_) let_go_of_streams(log_path, LogFile::begin);
  const auto answer = ask("ready", log_path + "\n" + line, {}, {"announced", "unwanted"},
                          Deadline::in(announcement_wait));
  if (answer && answer->word == "announced") return;
  throw Failure(FailureKind::failed, "whoever started this engine has gone: detaching");
}

void EngineLink::failed(int exit_code, const std::string& text) {
  channel_.send("failed", std::to_string(exit_code) + " " + text);
}

void EngineLink::serving() { channel_.send("serving"); }

void EngineLink::over() { channel_.send("over"); }

void EngineLink::notify(const std::string& state) { channel_.send("notify", state); }

bool EngineLink::attend() {
  while (const auto message = channel_.take()) answer(*message);
  if (!channel_.is_over() || keeper_ == 0) return true;
  keeper_ = 0;
  return false;
}

bool EngineLink::renew(const DeviceRecord& record, Log& log) {
  KeeperState state;
  state.directory = directory_;
  state.in_background = in_background_;
  state.record = record;
  if (former_) state.restarts = former_->restarts;
  if (former_) state.stalls = former_->stalls;
  {
    const std::lock_guard lock(kept_lock_);
    for (const auto& [name, fd] : kept_) state.kept[name] = duplicate(fd.get());
  }
  NewKeeper fresh = start_keeper(std::move(state), log);
  if (fresh.process == 0) return false;
  const std::lock_guard lock(kept_lock_);
  keeper_ = fresh.process;
  channel_ = Channel(std::move(fresh.channel));
  return true;
}

void EngineLink::answer(const ChannelMessage& message) {
  if (message.word == "ping") channel_.send("pong");
}

std::optional<ChannelMessage> EngineLink::ask(const std::string& word, const std::string& text,
                                              const std::vector<int>& descriptors,
                                              const std::vector<std::string>& answers,
                                              Deadline deadline) {
  if (!channel_.send(word, text, descriptors)) return std::nullopt;
  return wait_for(answers, deadline);
}

std::optional<ChannelMessage> EngineLink::wait_for(const std::vector<std::string>& answers,
                                                   Deadline deadline) {
  while (auto message = channel_.wait(deadline)) {
    const bool is_it = std::find(answers.begin(), answers.end(), message->word) != answers.end();
    if (is_it) return message;
    answer(*message);
  }
  return std::nullopt;
}

}  // namespace nbdring
