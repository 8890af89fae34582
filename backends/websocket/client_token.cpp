#include "backends/websocket/client_token.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/transport/tls_secret.hpp"

namespace nbdring {
namespace {

constexpr std::size_t token_bytes_max = 1024;

[[noreturn]] void fail_write(const std::string& path) {
  fail_errno(FailureKind::failed, "cannot write the next token to " + path);
}

// The folder, whose entry the file is.
std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

void write_all(const FileDescriptor& file, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t bytes = ::write(file.get(), text.data(), text.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) fail_write(path);
    text.remove_prefix(static_cast<std::size_t>(bytes));
  }
}

// A file that is removed unless it has become another's successor.
class NewFile {
 public:
  explicit NewFile(const std::string& path) : name_(path + ".XXXXXX") {
    file_.reset(::mkostemp(name_.data(), O_CLOEXEC));  // mode 0600
    if (!file_.is_open()) fail_write(path);
  }
  ~NewFile() {
    if (!has_moved_) ::unlink(name_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  const FileDescriptor& file() const { return file_; }
  void move_to(const std::string& path) {
    if (::rename(name_.c_str(), path.c_str()) != 0) fail_write(path);
    has_moved_ = true;
  }

 private:
  std::string name_;
  FileDescriptor file_;
  bool has_moved_ = false;
};

}  // namespace

bool is_client_token(std::string_view text) {
  const std::size_t colon = text.find(':');
  return text.size() <= token_bytes_max && colon != std::string_view::npos && colon > 0 &&
         colon + 1 < text.size() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

std::string read_client_token(const std::string& path) {
  const SecretFile file = read_secret_file(path);
  std::string_view text = file.content.text();
  text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
  if (is_client_token(text)) return std::string(text);
  throw Failure(FailureKind::usage,
                path +
                    " holds no token; it is one line ID:SECRET, as `nbdring token create` "
                    "prints it");
}

void replace_client_token(const std::string& path, std::string_view token) {
  NewFile successor(path);
  write_all(successor.file(), std::string(token) + "\n", path);
  struct stat before {};
  // Root may keep a user's token: the file stays that user's.
  if (::stat(path.c_str(), &before) == 0 && before.st_uid != ::geteuid() &&
      ::fchown(successor.file().get(), before.st_uid, before.st_gid) != 0) {
    fail_write(path);
  }
  if (::fsync(successor.file().get()) != 0) fail_write(path);
  successor.move_to(path);
  const FileDescriptor folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || ::fsync(folder.get()) != 0) fail_write(path);
}

}  // namespace nbdring
