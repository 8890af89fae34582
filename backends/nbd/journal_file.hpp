#pragma once
// Where the journals of a device lie: one memfd, which the keepsakes hold, so that an engine that
// is killed leaves them to the next one. It holds what that one has to know:
//
//   page 0    the head: magic, the room of a journal, how many there are; what is acknowledged and
//             durable; until when ghosts may come; the export that all this belongs to
//   then      each journal: a page with its place in the ring and the changes that are on their
//             way, and its ring (journal.hpp)
//
// Everything is right at every moment, as kill -9 comes at any: a word of memory is changed by one
// store, and what it stands for is there before it. The memory itself outlives the process whole.
//
// Numbers of the same name mean the same as in remote.hpp. A journal is added when a lane needs one
// and never taken away; the file only grows, and nobody has to be told. Not thread-safe but for the
// two counters and note_unheld().

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "backends/kept_memory.hpp"
#include "backends/nbd/journal.hpp"
#include "client/protocol/export.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

class JournalFile {
 public:
  /// capacity: of each journal, in bytes. Where a file was kept, that one, with its own capacity.
  /// Nothing kept after a crash is no failure: the server has what it was sent.
  JournalFile(std::size_t capacity, Keepsakes* keepsakes);

  /// It was kept by a former engine.
  bool was_found() const { return was_found_; }
  /// The journals that were found. Before any is added. Throws Failure where one is damaged.
  std::vector<std::unique_ptr<Journal>> take_found();
  /// A new one. Throws Failure.
  std::unique_ptr<Journal> add();

  std::atomic<std::uint64_t>& acknowledged() { return head_->acknowledged; }
  std::atomic<std::uint64_t>& durable() { return head_->durable; }

  /// Ghosts of a connection may come until then.
  void note_fence(Clock::time_point until) noexcept;
  void set_fence(Clock::time_point until) noexcept;
  Clock::time_point fence() const;

  /// A connection is used that nobody holds beyond this engine (kept_connections.hpp). Any thread.
  void note_unheld() noexcept { head_->all_held = 0; }
  bool all_were_held() const { return was_found_ && head_->all_held != 0; }

  /// The export that the entries belong to, as far as there is room for its texts.
  void set_identity(const Export& about) noexcept;
  Export identity() const;
  /// As much of it as identity() would tell.
  static Export shortened(Export about);

 private:
  static constexpr std::size_t text_bytes = 1024;
  struct Head {
    std::uint64_t magic;
    std::uint64_t capacity;  // of each journal
    std::atomic<std::uint64_t> count;
    std::atomic<std::uint64_t> acknowledged;
    std::atomic<std::uint64_t> durable;
    std::atomic<std::int64_t> fence;  // nanoseconds of the Clock
    std::uint64_t size;
    std::uint32_t minimum_block;
    std::uint16_t transmission_flags;
    char name[text_bytes];
    char description[text_bytes];
    std::atomic<std::uint32_t> all_held;  // every connection that was used
  };

  void make(std::size_t capacity, Keepsakes* keepsakes);
  std::uint64_t place_of(std::uint64_t index) const;

  FileDescriptor file_;
  Mapping mapping_;
  Head* head_ = nullptr;  // in the mapping
  bool was_found_ = false;
};

}  // namespace nbdring
