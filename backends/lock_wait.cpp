#include "backends/lock_wait.hpp"

#include <thread>
#include <utility>

namespace nbdring {
namespace {

constexpr std::chrono::milliseconds step{20};
constexpr std::chrono::seconds between_words{10};

}  // namespace

LockWait::LockWait(std::string path, std::chrono::milliseconds longest, Log& log)
    : path_(std::move(path)),
      end_(Clock::now() + longest),
      next_word_(Clock::now() + between_words),
      log_(log) {}

bool LockWait::goes_on() {
  const auto now = Clock::now();
  if (now >= end_) return false;
  if (now >= next_word_) {
    next_word_ = now + between_words;
    log_.warning("another program holds its lock: waiting until it lets go", {{"file", path_}});
  }
  std::this_thread::sleep_for(step);
  return true;
}

}  // namespace nbdring
