#include "cli/bench/verify.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdio>
#include <cstring>

#include "cli/bench/pattern.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

struct Mark {
  std::uint64_t checksum;
  BlockIdentity identity;
};
static_assert(sizeof(Mark) == 32);

constexpr std::size_t word = sizeof(std::uint64_t);

std::uint64_t key_of(const BlockIdentity& identity) {
  const std::uint64_t key = BenchRandom::mix(identity.seed) + identity.offset;
  return BenchRandom::mix(key) + identity.generation;
}

std::uint64_t checksum_of(std::span<const std::byte> block) {
  return XXH3_64bits(block.data() + word, block.size() - word);
}

std::string hex(std::byte byte) {
  char text[8];
  std::snprintf(text, sizeof text, "0x%02x", std::to_integer<unsigned>(byte));
  return text;
}

// The checksum is right, so it is a block of ours as a whole.
std::string other_block(const BlockIdentity& found, const BlockIdentity& expected) {
  if (found.seed != expected.seed) {
    return "is of another run (seed " + std::to_string(found.seed) + ")";
  }
  if (found.offset != expected.offset) {
    return "is the block of offset " + std::to_string(found.offset);
  }
  return "is stale: generation " + std::to_string(found.generation) + " instead of " +
         std::to_string(expected.generation);
}

std::string first_difference(std::span<const std::byte> block, const BlockIdentity& expected) {
  std::vector<std::byte> right(block.size());
  fill_block(right, expected);
  std::size_t first = block.size();
  std::size_t different = 0;
  for (std::size_t i = block.size(); i-- > 0;) {
    if (block[i] == right[i]) continue;
    first = i;
    ++different;
  }
  // Only the checksum can be right although bytes differ, and then they do.
  ENSURE(different > 0);
  return "has " + std::to_string(different) + " wrong bytes of " + std::to_string(block.size()) +
         ", the first at offset " + std::to_string(expected.offset + first) + ": " +
         hex(block[first]) + " instead of " + hex(right[first]);
}

}  // namespace

void fill_block(std::span<std::byte> block, const BlockIdentity& identity) {
  ENSURE(block.size() >= 512 && block.size() % word == 0);
  BenchRandom filling(key_of(identity));
  for (std::size_t at = sizeof(Mark); at < block.size(); at += word) {
    const std::uint64_t value = filling.next();
    std::memcpy(block.data() + at, &value, word);
  }
  Mark mark{0, identity};
  std::memcpy(block.data(), &mark, sizeof mark);
  mark.checksum = checksum_of(block);
  std::memcpy(block.data(), &mark.checksum, word);
}

std::optional<std::string> fault_of(std::span<const std::byte> block,
                                    const BlockIdentity& expected) {
  Mark mark{};
  std::memcpy(&mark, block.data(), sizeof mark);
  if (mark.checksum != checksum_of(block)) return first_difference(block, expected);
  const BlockIdentity& found = mark.identity;
  if (found.seed == expected.seed && found.offset == expected.offset &&
      found.generation == expected.generation) {
    return std::nullopt;
  }
  return other_block(found, expected);
}

bool Generations::take(std::uint64_t block) {
  if ((words_[block] & busy) != 0) return false;
  words_[block] |= busy;
  return true;
}

std::optional<std::uint32_t> Generations::expected(std::uint64_t block) const {
  const bool is_known = (words_[block] & unknown) == 0 && count_of(block) > 0;
  return is_known ? std::optional(count_of(block)) : std::nullopt;
}

}  // namespace nbdring
