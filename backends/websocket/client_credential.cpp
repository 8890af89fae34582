#include "backends/websocket/client_credential.hpp"

#include <optional>
#include <utility>

#include "backends/websocket/client_token.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::milliseconds look_again{10};

/// What a job leaves behind; the job owns it too, for it may outlive who waits.
struct FileAnswer {
  std::string token;
  std::optional<Failure> failure;
};

Task<void> run(Loop& loop, Offload& offload, const std::string& path,
               std::shared_ptr<FileAnswer> answer, std::function<void()> job,
               Clock::time_point deadline) {
  const bool has_run = co_await offload.run(loop, job, deadline - Clock::now());
  if (!has_run) {
    throw Failure(FailureKind::failed, "the disk with " + path + " does not answer in time");
  }
  if (answer->failure) throw Failure(*answer->failure);
}

template <typename Action>
std::function<void()> job_of(const std::shared_ptr<FileAnswer>& answer, Action action) {
  return [answer, action = std::move(action)] {
    try {
      action(*answer);
    } catch (const Failure& failure) {
      answer->failure = failure;
    }
  };
}

}  // namespace

ClientCredential::ClientCredential(std::string token_file)
    : path_(std::move(token_file)), offload_({.threads = 1, .jobs_max = 8}) {
  read_client_token(path_);
}

std::string ClientCredential::session() const {
  const std::lock_guard lock(mutex_);
  return session_;
}

void ClientCredential::forget(const std::string& session) {
  const std::lock_guard lock(mutex_);
  if (session_ == session) session_.clear();
}

ClientCredential::Turn::~Turn() {
  const std::lock_guard lock(credential_->mutex_);
  credential_->is_taken_ = false;
}

bool ClientCredential::try_take() {
  const std::lock_guard lock(mutex_);
  return !std::exchange(is_taken_, true);
}

Task<bool> ClientCredential::wait_turn(Loop& loop, Clock::time_point deadline) {
  while (!try_take()) {
    if (Clock::now() >= deadline) co_return false;
    co_await loop.sleep(look_again);
  }
  co_return true;
}

Task<std::string> ClientCredential::token(Loop& loop, Clock::time_point deadline) {
  const auto answer = std::make_shared<FileAnswer>();
  const std::function<void()> job =
      job_of(answer, [path = path_](FileAnswer& found) { found.token = read_client_token(path); });
  co_await run(loop, offload_, path_, answer, job, deadline);
  std::string token = answer->token;
  co_return std::move(token);
}

Task<void> ClientCredential::keep(Loop& loop, const std::string& next_token,
                                  const std::string& session, Clock::time_point deadline) {
  if (!next_token.empty()) {
    const auto answer = std::make_shared<FileAnswer>();
    const std::function<void()> job = job_of(answer, [path = path_, next_token](FileAnswer&) {
      replace_client_token(path, next_token);
    });
    co_await run(loop, offload_, path_, answer, job, deadline);
  }
  const std::lock_guard lock(mutex_);
  session_ = session;
}

}  // namespace nbdring
