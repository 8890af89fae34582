#pragma once
// What a cow layer knows and its overlay does not say yet: the map as it is, and whether a sync of
// the overlay has failed. It lies in memory that the keepsakes hold, so that an engine that is
// killed leaves it to the next one: every block whose bit is set is in the overlay's file, for the
// bit is set behind the write and before its acknowledgement. A crash of the machine ends it, and
// then counts what the overlay's own map says.

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "backends/kept_memory.hpp"

namespace nbdring {

class CowMemory {
 public:
  /// base_bytes: size of what is below; the map that was kept must be of the same. words: of the
  /// map. name: of the keepsake. Throws Failure.
  CowMemory(std::uint64_t base_bytes, std::size_t words, const Past& past, const std::string& name);

  std::span<std::atomic<std::uint64_t>> words() const { return words_; }
  /// An errno, or 0.
  std::atomic<int>& sync_error() const { return head_->sync_error; }
  bool was_found() const { return was_found_; }
  /// Held by the keepsakes from now on: what it stands for is.
  void keep();

 private:
  struct Head {
    std::uint64_t magic;
    std::uint64_t base_bytes;
    std::atomic<int> sync_error;
  };

  Past past_;
  std::string name_;
  FileDescriptor file_;
  Mapping mapping_;
  Head* head_ = nullptr;  // in the mapping, as the next
  std::span<std::atomic<std::uint64_t>> words_;
  bool was_found_ = false;
};

}  // namespace nbdring
