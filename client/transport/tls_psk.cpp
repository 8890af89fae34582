#include "client/transport/tls_psk.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

struct Line {
  std::string_view user;
  std::string_view key;
};

std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  return line;
}

bool is_skipped(std::string_view line) { return line.empty() || line.front() == '#'; }

Line split(std::string_view line) {
  const std::size_t colon = line.rfind(':');
  if (colon == std::string_view::npos) return {};
  return {line.substr(0, colon), line.substr(colon + 1)};
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<SecretBytes> decode_hex(std::string_view digits) {
  if (digits.empty() || digits.size() % 2 != 0) return std::nullopt;
  SecretBytes key(digits.size() / 2);
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    const int high = digit_of(digits[i]);
    const int low = digit_of(digits[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    key.bytes()[i / 2] = static_cast<std::byte>(high << 4 | low);
  }
  return key;
}

PskFile::PskFile(const std::string& path) : path_(path), file_(read_secret_file(path)) {
  check_lines(file_);
}

// A key is never quoted: the line's number is enough.
void PskFile::check_lines(const SecretFile& file) const {
  std::string_view text = file.content.text();
  std::size_t keys = 0;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = take_line(text);
    if (is_skipped(line)) continue;
    const Line entry = split(line);
    const bool is_good =
        !entry.user.empty() && entry.user.size() <= psk_user_bytes_max && decode_hex(entry.key);
    if (!is_good) {
      throw Failure(FailureKind::usage,
                    path_ + ":" + std::to_string(number) +
                        ": not a line of psktool (user:hexadecimal key); make one with `psktool "
                        "-u USER -p FILE`");
    }
    ++keys;
  }
  if (keys == 0) {
    throw Failure(FailureKind::usage,
                  path_ + " has no key in it; make one with `psktool -u USER -p FILE`");
  }
}

void PskFile::read_again() {
  struct stat now {};
  if (::stat(path_.c_str(), &now) != 0) {
    fail_errno(FailureKind::usage, "cannot read " + path_);
  }
  if (FileVersion::of(now) == file_.version) return;
  // From here on the old keys count no more, also when the new file turns out to be none.
  file_.content = SecretBytes();
  file_.version = {};
  SecretFile file = read_secret_file(path_);
  check_lines(file);
  file_ = std::move(file);
}

std::optional<SecretBytes> PskFile::key_of(std::string_view user) {
  const std::lock_guard lock(reading_);
  read_again();
  std::string_view text = file_.content.text();
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    if (is_skipped(line)) continue;
    const Line entry = split(line);
    if (entry.user == user) return decode_hex(entry.key);
  }
  return std::nullopt;
}

}  // namespace nbdring
