#include "backends/layers/block_map.hpp"

#include <endian.h>

#include <algorithm>
#include <cstring>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

std::size_t pages_of(std::uint64_t bytes) {
  constexpr std::uint64_t bytes_per_page = BlockMap::blocks_per_page * BlockMap::block_bytes;
  return bytes / bytes_per_page + (bytes % bytes_per_page == 0 ? 0 : 1);
}

}  // namespace

std::size_t BlockMap::words_for(std::uint64_t bytes) { return pages_of(bytes) * words_per_page; }

BlockMap::BlockMap(std::uint64_t bytes, std::span<std::atomic<std::uint64_t>> words)
    : pages_(pages_of(bytes)), words_(words), saved_(pages_.size() * page_bytes) {
  ENSURE(words_.size() == words_for(bytes));
}

void BlockMap::add(std::uint64_t begin, std::uint64_t end) noexcept {
  while (begin < end) {
    const std::uint64_t page = begin / blocks_per_page;
    const std::uint64_t page_end = std::min(end, (page + 1) * blocks_per_page);
    const std::lock_guard guard(mutex_);
    // The state first: who sees the bit sees that it is not saved.
    pages_[page].fetch_or(changed, std::memory_order_relaxed);
    for (; begin < page_end; ++begin) {
      const std::uint64_t bit = std::uint64_t{1} << (begin % word_bits);
      words_[begin / word_bits].fetch_or(bit, std::memory_order_release);
    }
  }
}

bool BlockMap::is_saved(std::uint64_t begin, std::uint64_t end) const noexcept {
  for (std::uint64_t page = begin / blocks_per_page; page * blocks_per_page < end; ++page) {
    if (pages_[page].load(std::memory_order_acquire) != 0) return false;
  }
  return true;
}

void BlockMap::begin_save() noexcept {
  for (std::size_t page = 0; page < pages_.size(); ++page) {
    const std::lock_guard guard(mutex_);
    if (pages_[page] == 0) continue;
    pages_[page] = saving;
    for (std::size_t word = 0; word < words_per_page; ++word) {
      const std::uint64_t bits = htole64(words_[page * words_per_page + word]);
      std::memcpy(&saved_[page * page_bytes + word * 8], &bits, sizeof bits);
    }
  }
}

void BlockMap::end_save(bool done) noexcept {
  for (auto& page : pages_) {
    const std::lock_guard guard(mutex_);
    if ((page & saving) == 0) continue;
    const std::uint8_t left = page & changed;
    page = done ? left : changed;
  }
}

void BlockMap::loaded(std::size_t page) noexcept {
  for (std::size_t word = 0; word < words_per_page; ++word) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &saved_[page * page_bytes + word * 8], sizeof bits);
    auto& here = words_[page * words_per_page + word];
    here |= le64toh(bits);
    if (here != le64toh(bits)) pages_[page] = changed;
  }
}

}  // namespace nbdring
