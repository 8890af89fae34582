#include "client/engine/arena.hpp"

#include <sys/mman.h>

#include <bit>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t word_bits = 64;

std::size_t units_of(std::size_t bytes) { return (bytes + Arena::unit - 1) / Arena::unit; }

}  // namespace

Arena::Arena(std::size_t resident, std::size_t largest, bool populate)
    : resident_(resident), largest_(largest), taken_(units_of(resident) / word_bits, 0) {
  ENSURE(resident % (unit * word_bits) == 0 && resident > 0);
  ENSURE(largest % unit == 0 && resident <= largest);
  void* memory = ::mmap(nullptr, largest, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail_errno(FailureKind::failed, "cannot map a lane's buffers");
  memory_ = static_cast<std::byte*>(memory);
  // A huge page would make an idle lane resident in steps of 2 MiB above what it was given.
  ::madvise(memory, largest, MADV_NOHUGEPAGE);
  if (populate && ::madvise(memory, resident, MADV_POPULATE_WRITE) != 0) {
    const int error = errno;
    ::munmap(memory, largest);
    fail_errno(FailureKind::failed, "cannot populate a lane's buffers", error);
  }
}

Arena::~Arena() {
  ENSURE(used_ == 0);
  ::munmap(memory_, largest_);
}

std::span<std::byte> Arena::allocate(std::size_t length) noexcept {
  ENSURE(length > 0 && length <= largest_);
  if (whole_taken_) return {};
  const std::size_t units = units_of(length);
  if (length > resident_) {
    if (used_ != 0) return {};
    whole_taken_ = true;
    used_ = units;
    return {memory_, length};
  }
  const std::size_t total = taken_.size() * word_bits;
  const std::size_t first = find_run(units);
  if (first == total) return {};
  for (std::size_t i = first; i < first + units; ++i) {
    taken_[i / word_bits] |= std::uint64_t{1} << (i % word_bits);
  }
  used_ += units;
  return {memory_ + first * unit, length};
}

// First fit. Whole words that are taken or free are passed in one step, so a scan costs a few dozen
// instructions.
std::size_t Arena::find_run(std::size_t units) const noexcept {
  const std::size_t total = taken_.size() * word_bits;
  std::size_t start = 0;
  std::size_t at = 0;
  while (at < total) {
    const std::uint64_t rest = taken_[at / word_bits] >> (at % word_bits);
    const std::size_t left = word_bits - at % word_bits;
    if ((rest & 1) != 0) {
      const auto taken = static_cast<std::size_t>(std::countr_one(rest));
      at += taken < left ? taken : left;
      start = at;
      continue;
    }
    const std::size_t zeros = rest == 0 ? left : static_cast<std::size_t>(std::countr_zero(rest));
    at += zeros < left ? zeros : left;
    if (at - start >= units) return start;
  }
  return total;
}

void Arena::release(std::span<std::byte> buffer) noexcept {
  const std::size_t units = units_of(buffer.size());
  ENSURE(used_ >= units && buffer.data() >= memory_);
  used_ -= units;
  if (whole_taken_) {
    ENSURE(used_ == 0);
    whole_taken_ = false;
    // _LOCKED (Linux 5.18): an attached device's engine locks its memory, which plain DONTNEED
    // refuses.
    ::madvise(memory_ + resident_, largest_ - resident_, MADV_DONTNEED_LOCKED);
    return;
  }
  const auto first = static_cast<std::size_t>(buffer.data() - memory_) / unit;
  for (std::size_t i = first; i < first + units; ++i) {
    ENSURE((taken_[i / word_bits] >> (i % word_bits) & 1) == 1);
    taken_[i / word_bits] &= ~(std::uint64_t{1} << (i % word_bits));
  }
}

}  // namespace nbdring
