#pragma once
// A folder that stands for "/", with the files of /sys and /proc that a test wants. Gone with the
// object.

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "client/runtime/error.hpp"

namespace nbdring {

class FakeRoot {
 public:
  FakeRoot() {
    char name[] = "/tmp/nbdring-root-XXXXXX";
    ENSURE(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~FakeRoot() { std::filesystem::remove_all(path_); }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;

  const std::string& path() const { return path_; }

  void file(const std::string& name, const std::string& text) {
    make_parent(name);
    std::ofstream(path_ + name) << text;
  }
  void link(const std::string& name, const std::string& target) {
    make_parent(name);
    std::filesystem::create_symlink(target, path_ + name);
  }
  std::string text_of(const std::string& name) const {
    std::ifstream file(path_ + name);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  /// A device as sysfs has it: without a server unless `thread` is given.
  void device(const std::string& name, const std::string& number, const std::string& sectors,
              const std::string& thread = "", const std::string& backend = "") {
    const std::string folder = "/sys/block/" + name;
    file(folder + "/dev", number + "\n");
    file(folder + "/size", sectors + "\n");
    file(folder + "/ro", "0\n");
    if (!thread.empty()) file(folder + "/pid", thread + "\n");
    if (!backend.empty()) file(folder + "/backend", backend + "\n");
  }

 private:
  void make_parent(const std::string& name) {
    std::filesystem::create_directories(std::filesystem::path(path_ + name).parent_path());
  }

  std::string path_;
};

}  // namespace nbdring
