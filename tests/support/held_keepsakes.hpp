#pragma once
// Keepsakes in this process: what one backend leaves in them another one finds, as after a crash of
// an engine whose keeper lives on. Any thread.

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <string>

#include "client/engine/keepsakes.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

class HeldKeepsakes final : public Keepsakes {
 public:
  std::optional<FileDescriptor> find(const std::string& name) override {
    const std::lock_guard guard(lock_);
    const auto kept = kept_.find(name);
    if (kept == kept_.end()) return std::nullopt;
    return copy_of(kept->second.get());
  }
  void keep(const std::string& name, int fd) override {
    if (refuses_connections_ && is_connection(name)) {
      throw Failure(FailureKind::failed, "there is no room for " + name);
    }
    const std::lock_guard guard(lock_);
    kept_[name] = copy_of(fd);
  }
  void drop(const std::string& name) noexcept override {
    const std::lock_guard guard(lock_);
    kept_.erase(name);
  }

  void refuse_connections() { refuses_connections_ = true; }
  bool has(const std::string& name) const {
    const std::lock_guard guard(lock_);
    return kept_.contains(name);
  }
  /// All that is there ends.
  void lose_all() {
    const std::lock_guard guard(lock_);
    kept_.clear();
  }
  std::size_t size() const {
    const std::lock_guard guard(lock_);
    return kept_.size();
  }
  std::size_t connections() const {
    const std::lock_guard guard(lock_);
    return static_cast<std::size_t>(std::count_if(
        kept_.begin(), kept_.end(), [](const auto& one) { return is_connection(one.first); }));
  }

 private:
  static bool is_connection(const std::string& name) { return name.starts_with(connection_prefix); }
  static FileDescriptor copy_of(int fd) {
    FileDescriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    ENSURE(copy.is_open());
    return copy;
  }

  std::atomic<bool> refuses_connections_{false};
  mutable std::mutex lock_;
  std::map<std::string, FileDescriptor> kept_;
};

}  // namespace nbdring
