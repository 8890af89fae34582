#pragma once
// --verify: what a written block carries, so that what is read back can be told to be it, another
// one, an older one, or broken.
//
// A block begins with its checksum (XXH3 over all that follows), the run's seed, the block's offset
// and its generation; the rest is filled from these three, so a wrong byte can be named.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace nbdring {

/// Which write of which block it is.
struct BlockIdentity {
  std::uint64_t seed = 0;        // of the run
  std::uint64_t offset = 0;      // bytes, on the target
  std::uint64_t generation = 0;  // counts up with each write, over all points of a run
};

/// A buffer of at least 512 bytes, a multiple of 8.
void fill_block(std::span<std::byte> block, const BlockIdentity& identity);

/// What is wrong with a block that was read, in words that go behind "the block at offset N"; none:
/// it is what was written.
std::optional<std::string> fault_of(std::span<const std::byte> block,
                                    const BlockIdentity& expected);

/// What a lane knows of its blocks: how often each was written, and whether a request is under way
/// on it, for only one at a time has a known outcome. 4 bytes a block.
class Generations {
 public:
  explicit Generations(std::uint64_t blocks) : words_(blocks, 0) {}

  /// False: another request has the block.
  bool take(std::uint64_t block);
  void give_back(std::uint64_t block) { words_[block] &= ~busy; }
  /// Of a taken block: what its next write carries.
  std::uint32_t next(std::uint64_t block) const { return count_of(block) + 1; }
  /// That write has ended well, or nobody knows what is there now.
  void written(std::uint64_t block) { words_[block] = next(block) | busy; }
  void lost(std::uint64_t block) { words_[block] = next(block) | busy | unknown; }
  /// What has to be there; none: nothing was written, or nobody knows.
  std::optional<std::uint32_t> expected(std::uint64_t block) const;

  std::uint64_t blocks() const { return words_.size(); }

 private:
  static constexpr std::uint32_t busy = 1U << 31;
  static constexpr std::uint32_t unknown = 1U << 30;  // until the next good write
  std::uint32_t count_of(std::uint64_t block) const { return words_[block] & ~(busy | unknown); }

  std::vector<std::uint32_t> words_;
};

}  // namespace nbdring
