#pragma once
// Key material in memory and on disk: memory that is not swapped out, not dumped and wiped at its
// end, and files that nobody else can read. One owner each; any thread.

#include <sys/stat.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace nbdring {

/// Bytes in pages of their own: locked where the limit allows it (RLIMIT_MEMLOCK), left out of core
/// dumps, zeroed before they are given back.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size);
  ~SecretBytes();
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;

  std::span<std::byte> bytes() { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  bool empty() const { return size_ == 0; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Longest key file that is read: some ten thousand PSK users.
inline constexpr std::size_t key_file_bytes_max = 1024 * 1024;

/// Which version of a file was read; another one may be there later.
struct FileVersion {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  timespec modified{};

  static FileVersion of(const struct stat& file);
  friend bool operator==(const FileVersion& left, const FileVersion& right);
};

struct SecretFile {
  SecretBytes content;
  FileVersion version;
};

/// Reads a file that holds keys. Throws Failure: usage when it is not there or no such file,
/// refused when it is a symbolic link, when its owner is neither we nor root, or when others may
/// read or write it.
SecretFile read_secret_file(const std::string& path);

/// Reads a file that anybody may see (certificates). Throws Failure (usage).
std::string read_public_file(const std::string& path);

}  // namespace nbdring
