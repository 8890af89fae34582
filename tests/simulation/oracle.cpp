#include "tests/simulation/oracle.hpp"

#include <algorithm>
#include <string>

#include "tests/support/client_side.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {

Oracle::Oracle(std::uint64_t size, std::uint32_t block_bytes)
    : block_bytes_(block_bytes), blocks_(last(0, size)) {}

void Oracle::begin_change(std::uint64_t offset, std::uint64_t length) {
  for (std::size_t i = first(offset); i < last(offset, length); ++i) {
    Block& block = blocks_[i];
    if (block.changing++ > 0) block.contested = true;
  }
}

void Oracle::end_change(std::uint64_t offset, std::uint64_t length,
                        std::optional<std::uint64_t> number) {
  const std::uint64_t now = event();
  for (std::size_t i = first(offset); i < last(offset, length); ++i) {
    Block& block = blocks_[i];
    ENSURE(block.changing > 0);
    --block.changing;
    block.unknown = block.contested || !number;
    block.number = number.value_or(0);
    block.changed = now;
    if (block.changing == 0) block.contested = false;
  }
}

bool Oracle::is_busy(std::uint64_t offset, std::uint64_t length) const {
  for (std::size_t i = first(offset); i < last(offset, length); ++i) {
    if (blocks_[i].changing > 0) return true;
  }
  return false;
}

void Oracle::check_read(std::uint64_t offset, std::span<const std::byte> data,
                        std::uint64_t asked) const {
  for (std::size_t i = first(offset); i < last(offset, data.size()); ++i) {
    const Block& block = blocks_[i];
    if (block.changing > 0 || block.unknown || block.changed > asked) continue;
    const std::uint64_t begin = std::max<std::uint64_t>(i * block_bytes_, offset);
    const std::uint64_t end = std::min<std::uint64_t>((i + 1) * block_bytes_, offset + data.size());
    if (matches_pattern(data.subspan(begin - offset, end - begin), block.number, begin)) continue;
    throw ProtocolViolation("a read at " + std::to_string(offset) + " has wrong bytes at " +
                            std::to_string(begin) + ", where write " +
                            std::to_string(block.number) + " was the last");
  }
}

void Oracle::check_image(std::span<const std::byte> image, std::uint64_t offset,
                         std::uint64_t length, std::uint64_t until, const char* what) const {
  for (std::size_t i = first(offset); i < last(offset, length); ++i) {
    const Block& block = blocks_[i];
    if (block.changing > 0 || block.unknown || block.changed > until) continue;
    const std::uint64_t begin = i * block_bytes_;
    const std::uint64_t end = std::min<std::uint64_t>(begin + block_bytes_, image.size());
    if (matches_pattern(image.subspan(begin, end - begin), block.number, begin)) continue;
    throw ProtocolViolation(std::string(what) + ": the bytes at " + std::to_string(begin) +
                            " are not those of write " + std::to_string(block.number) +
                            ", which was acknowledged");
  }
}

}  // namespace nbdring
