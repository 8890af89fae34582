#pragma once
// What the clients of a simulation may expect to read: which write stored each block last, as far
// as the replies told. Where two writes were under way at once, or one failed, nobody can know:
// such a block is not checked until the next write has it for itself.
//
// Time is a count of events (request sent, reply taken), the same for all lanes.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace nbdring {

class Oracle {
 public:
  static constexpr std::uint64_t initial_number = 1;  // of the pattern that the export begins with

  Oracle(std::uint64_t size, std::uint32_t block_bytes);

  std::uint64_t event() { return ++now_; }

  /// A change of this range is under way until end_change(). `number`: the pattern that was
  /// stored, or none when nobody can tell.
  void begin_change(std::uint64_t offset, std::uint64_t length);
  void end_change(std::uint64_t offset, std::uint64_t length, std::optional<std::uint64_t> number);
  bool is_busy(std::uint64_t offset, std::uint64_t length) const;

  /// Throws ProtocolViolation where the data of a READ, which was sent at `asked`, is wrong.
  void check_read(std::uint64_t offset, std::span<const std::byte> data, std::uint64_t asked) const;
  /// Throws where something that was acknowledged before `until` is not in the image.
  void check_image(std::span<const std::byte> image, std::uint64_t offset, std::uint64_t length,
                   std::uint64_t until, const char* what) const;

 private:
  struct Block {
    std::uint64_t number = initial_number;  // the last write's pattern
    std::uint64_t changed = 0;              // the event that told so
    std::uint32_t changing = 0;             // changes under way
    bool contested = false;                 // by two changes at once, since nobody changed it
    bool unknown = false;
  };

  std::size_t first(std::uint64_t offset) const { return offset / block_bytes_; }
  std::size_t last(std::uint64_t offset, std::uint64_t length) const {
    return (offset + length + block_bytes_ - 1) / block_bytes_;
  }

  std::uint64_t now_ = 0;
  std::uint32_t block_bytes_;
  std::vector<Block> blocks_;
};

}  // namespace nbdring
