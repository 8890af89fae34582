#pragma once
// The token store on disk. PATH is only ever replaced as a whole: PATH.new is written, fsynced and
// renamed over it, and the folder is fsynced; whoever reads sees the old text or the new one, also
// after a crash of the machine. PATH.lock stays where it is for ever; locks are taken on its bytes
// (open file description locks: they end with the process, however that ends):
//
//   byte 0    the right to replace PATH, held for a few system calls
//   byte n>0  a use of a token whose answer is on its way (token_store.hpp, "Crashes")
//
// All three are for their owner alone (0600); the folder is made with 0700. What others may write
// to, or what belongs to somebody else than us and root, is refused: a Failure that says so.
//
// Stateless: any thread, any number of processes.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

class TokenFiles {
 public:
  explicit TokenFiles(std::string path);

  const std::string& path() const { return path_; }

  /// The text as it is; empty when there is no store yet. Throws Failure.
  std::string read() const;

  /// The right to replace, as long as the descriptor is open. Makes folder and lock file where they
  /// are missing. Throws Failure (busy) after seconds of waiting.
  FileDescriptor lock_for_update() const;

  /// Only with that right. When it returns, the new text is on the disk; when it throws, the old
  /// text is there, or (the disk failed after the rename) the new one.
  void replace(std::string_view text) const;

  /// The lock of one byte, 1 or more, as long as the descriptor is open; nothing when somebody has
  /// it. Never waits.
  std::optional<FileDescriptor> try_lock_byte(std::uint64_t byte) const;

 private:
  FileDescriptor open_lock_file() const;
  void make_folder() const;
  bool check_folder() const;

  std::string path_;
  std::string folder_;
};

}  // namespace nbdring
