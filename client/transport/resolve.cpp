#include "client/transport/resolve.hpp"

#include <netdb.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "client/runtime/error.hpp"
#include "client/runtime/sync.hpp"

namespace nbdring {
namespace {

Resolution ask(const std::string& host, std::uint16_t port, int flags) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found);
  Resolution resolution;
  if (error != 0) {
    resolution.problem = error == EAI_SYSTEM ? error_text(errno) : ::gai_strerror(error);
    return resolution;
  }
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    SocketAddress address;
    std::memcpy(&address.storage, one->ai_addr, one->ai_addrlen);
    address.length = one->ai_addrlen;
    resolution.addresses.push_back(address);
  }
  ::freeaddrinfo(found);
  return resolution;
}

// What the loop's task and the thread share. The task outlives neither the delivery nor the loop:
// after it has given up, the thread posts nothing.
class Question final : public Message {
 public:
  explicit Question(Loop& loop) : loop_(loop) {}

  void deliver() noexcept override { ended_.raise(); }

  // The thread:
  void answer(Resolution resolution) {
    const std::lock_guard lock(mutex_);
    if (is_given_up_) return;
    resolution_ = std::move(resolution);
    is_answered_ = true;
    loop_.post(*this);
  }

  // The loop's thread:
  Event& ended() { return ended_; }
  void give_up() {
    {
      const std::lock_guard lock(mutex_);
      if (is_answered_) return;  // its delivery is on the way
      is_given_up_ = true;
    }
    ended_.raise();
  }
  bool is_given_up() const { return is_given_up_; }
  // The lock: the thread may still be inside post(), which needs the loop.
  Resolution take() {
    const std::lock_guard lock(mutex_);
    return std::move(resolution_);
  }

 private:
  Loop& loop_;
  Event ended_;
  std::mutex mutex_;
  bool is_answered_ = false;
  bool is_given_up_ = false;
  Resolution resolution_;
};

class GiveUpAt final : public Timer {
 public:
  GiveUpAt(Loop& loop, Clock::time_point when, Question& question)
      : Timer(loop, when), question_(question) {}

 private:
  void expired() override { question_.give_up(); }

  Question& question_;
};

void start_thread(const std::shared_ptr<Question>& question, const std::string& host,
                  std::uint16_t port, const Lookup& lookup) {
  try {
    std::thread([question, host, port, lookup] { question->answer(lookup(host, port)); }).detach();
  } catch (const std::system_error& error) {
    fail_errno(FailureKind::failed, "cannot start a thread to look up " + host,
               error.code().value());
  }
}

}  // namespace

Resolution look_up(const std::string& host, std::uint16_t port) { return ask(host, port, 0); }

Task<Resolution> resolve(Loop& loop, const std::string& host, std::uint16_t port,
                         Clock::time_point deadline, const Lookup& lookup) {
  Resolution numeric = ask(host, port, AI_NUMERICHOST);
  if (!numeric.addresses.empty()) co_return std::move(numeric);
  const auto question = std::make_shared<Question>(loop);
  start_thread(question, host, port, lookup);
  const GiveUpAt limit(loop, deadline, *question);
  co_await question->ended().wait();
  Resolution answer = question->take();
  if (question->is_given_up()) answer.problem = "no answer from the name service in time";
  co_return std::move(answer);
}

}  // namespace nbdring
