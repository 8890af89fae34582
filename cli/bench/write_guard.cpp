#include "cli/bench/write_guard.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <optional>

#include "cli/report.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

namespace fs = std::filesystem;

std::optional<struct stat> facts_of(const std::string& path) {
  struct stat facts {};
  return ::stat(path.c_str(), &facts) == 0 ? std::optional(facts) : std::nullopt;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// A loop device keeps its file open in the kernel: no lock and no process tells.
std::vector<std::string> loops_over(const fs::path& file, const Sysfs& sysfs) {
  std::vector<std::string> loops;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(sysfs.root() + "/sys/block", gone)) {
    const std::string name = entry.path().filename().string();
    const auto backing = sysfs.line("/sys/block/" + name + "/loop/backing_file");
    if (backing && *backing == file.string()) loops.push_back("behind " + name);
  }
  return loops;
}

}  // namespace

bool is_block_device(const std::string& path) {
  const auto facts = facts_of(path);
  return facts && S_ISBLK(facts->st_mode);
}

std::vector<std::string> users_of_path(const std::string& path, const Sysfs& sysfs) {
  const auto facts = facts_of(path);
  if (!facts) return {};
  if (!S_ISBLK(facts->st_mode)) {
    std::error_code unknown;
    return loops_over(fs::canonical(path, unknown), sysfs);
  }
  const std::string number =
      std::to_string(major(facts->st_rdev)) + ":" + std::to_string(minor(facts->st_rdev));
  return lasting_users_of_number(number, Deadline::in(passing_user_wait), sysfs);
}

void refuse_used(const std::string& shown, const std::vector<std::string>& users) {
  if (users.empty()) return;
  throw Failure(FailureKind::busy,
                shown + " is in use: " + joined(users) + "; it is not written, free it first");
}

std::string loss_text(const WrittenRange& range, const std::string& shown,
                      const std::vector<std::string>& notes) {
  std::string text = "the " + bytes_text(range.size);
  if (range.size < range.whole) text += " at offset " + std::to_string(range.offset);
  text += " of " + shown;
  return notes.empty() ? text : text + " (" + joined(notes) + ")";
}

}  // namespace nbdring
