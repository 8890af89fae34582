#pragma once
// Which blocks of an export have been changed: a bit each, in memory that its owner gives, and a
// copy of what a file holds of it. Bits are set and never cleared.
//
// What is in the file is never ahead of the data: begin_save() copies the pages that changed, then
// the data is brought to stable storage, then the copies are written and made stable, then
// end_save() tells. A page that is written in part has old and new bits in any mixture, and each of
// the new ones stands for data that is stable already.
//
// Any thread may ask and add; one at a time saves. The mutex is held for a page's copy at most.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

namespace nbdring {

class BlockMap {
 public:
  static constexpr std::uint64_t block_bytes = 64 * 1024;
  static constexpr std::size_t page_bytes = 4096;
  static constexpr std::uint64_t blocks_per_page = page_bytes * 8;  // 2 GiB of the export

  /// How many words the map of an export has.
  static std::size_t words_for(std::uint64_t bytes);

  /// bytes: of the export. words: so many; they outlive the map, and may have bits already.
  BlockMap(std::uint64_t bytes, std::span<std::atomic<std::uint64_t>> words);

  bool has(std::uint64_t block) const noexcept {
    const auto word = words_[block / word_bits].load(std::memory_order_acquire);
    return (word >> (block % word_bits) & 1) != 0;
  }
  bool has_all(std::uint64_t begin, std::uint64_t end) const noexcept {
    return run_end(begin, end, true) == end;
  }
  /// The end of the blocks from begin on that are all changed, or all not; at most end.
  std::uint64_t run_end(std::uint64_t begin, std::uint64_t end, bool with) const noexcept {
    while (begin < end && has(begin) == with) ++begin;
    return begin;
  }
  void add(std::uint64_t begin, std::uint64_t end) noexcept;

  /// Every bit among these blocks, or of the whole map, is in the file, and stable there.
  bool is_saved(std::uint64_t begin, std::uint64_t end) const noexcept;
  bool is_saved() const noexcept { return is_saved(0, pages_.size() * blocks_per_page); }

  void begin_save() noexcept;
  /// Is to be written since begin_save().
  bool is_being_saved(std::size_t page) const noexcept { return (pages_[page] & saving) != 0; }
  /// As it is, or is to be, in the file: bit N of the map is bit N % 8 of byte N / 8.
  std::span<std::byte> page(std::size_t page) noexcept {
    return std::span(saved_).subspan(page * page_bytes, page_bytes);
  }
  void end_save(bool done) noexcept;

  std::size_t pages() const { return pages_.size(); }
  /// At the start: page() was filled from the file. What it says is added to what is there.
  void loaded(std::size_t page) noexcept;

 private:
  static constexpr std::uint64_t word_bits = 64;
  static constexpr std::size_t words_per_page = page_bytes / 8;
  static constexpr std::uint8_t changed = 1;  // since it was copied
  static constexpr std::uint8_t saving = 2;

  std::mutex mutex_;  // a page's bits and its state change together
  std::vector<std::atomic<std::uint8_t>> pages_;
  std::span<std::atomic<std::uint64_t>> words_;
  std::vector<std::byte> saved_;
};

}  // namespace nbdring
