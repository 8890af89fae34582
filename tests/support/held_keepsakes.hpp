#pragma once
// Keepsakes in this process: what one backend leaves in them another one finds, as after a crash of
// an engine whose keeper lives on.

#include <fcntl.h>

#include <map>
#include <string>

#include "client/engine/keepsakes.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

class HeldKeepsakes final : public Keepsakes {
 public:
  std::optional<FileDescriptor> find(const std::string& name) override {
    const auto kept = kept_.find(name);
    if (kept == kept_.end()) return std::nullopt;
    return copy_of(kept->second.get());
  }
  void keep(const std::string& name, int fd) override { kept_[name] = copy_of(fd); }

  bool has(const std::string& name) const { return kept_.contains(name); }
  void lose(const std::string& name) { kept_.erase(name); }
  std::size_t size() const { return kept_.size(); }

 private:
  static FileDescriptor copy_of(int fd) {
    FileDescriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    ENSURE(copy.is_open());
    return copy;
  }

  std::map<std::string, FileDescriptor> kept_;
};

}  // namespace nbdring
