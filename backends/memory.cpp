#include "backends/memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>

#include <cstring>
#include <string>

#include "backends/offered_flags.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t page = 4096;
const std::string keepsake = "memory";

std::uint64_t round_up(std::uint64_t offset) { return (offset + page - 1) / page * page; }
std::uint64_t round_down(std::uint64_t offset) { return offset / page * page; }

class MemoryLane final : public BackendLane {
 public:
  /// file: what the bytes are a mapping of, or -1.
  MemoryLane(Loop& loop, std::span<std::byte> bytes, int file)
      : loop_(loop), bytes_(bytes), file_(file) {}

  FramePool& frames() override { return loop_.frames(); }

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    std::memcpy(buffer.data(), range(offset, buffer.size()).data(), buffer.size());
    co_return Status::ok();
  }

  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool) override {
    std::memcpy(range(offset, buffer.size()).data(), buffer.data(), buffer.size());
    co_return Status::ok();
  }

  Task<Status> flush() override { co_return Status::ok(); }

  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool) override {
    zero(offset, length, true);
    co_return Status::ok();
  }

  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
    zero(offset, length, !mode.no_hole);
    co_return Status::ok();
  }

  // Memory does not tell which of its pages were never touched; "allocated" is always a correct
  // answer.
  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
    range(offset, length);
    list.descriptors[0] = nbd::Extent{static_cast<std::uint32_t>(length), 0};
    list.used = 1;
    co_return Status::ok();
  }

 private:
  std::span<std::byte> range(std::uint64_t offset, std::uint64_t length) const {
    ENSURE(length > 0 && length <= bytes_.size() && offset <= bytes_.size() - length);
    return bytes_.subspan(offset, length);
  }

  // Whole pages are given back, which reads as zeros afterwards; what is left at both ends is
  // overwritten.
  void zero(std::uint64_t offset, std::uint64_t length, bool may_punch) {
    const auto all = range(offset, length);
    const std::uint64_t first = round_up(offset);
    const std::uint64_t last = round_down(offset + length);
    if (!may_punch || first >= last || !give_back(first, last - first)) {
      std::memset(all.data(), 0, all.size());
      return;
    }
    std::memset(all.data(), 0, first - offset);
    std::memset(bytes_.data() + last, 0, offset + length - last);
  }

  bool give_back(std::uint64_t offset, std::uint64_t length) const {
    if (file_ < 0) return ::madvise(bytes_.data() + offset, length, MADV_DONTNEED_LOCKED) == 0;
    return ::fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                       static_cast<off_t>(offset), static_cast<off_t>(length)) == 0;
  }

  Loop& loop_;
  std::span<std::byte> bytes_;
  const int file_;
};

}  // namespace

MemoryBackend::MemoryBackend(std::uint64_t size, bool read_only, const Past& past) {
  about_.size = size;
  about_.description = "memory";
  about_.block_size.minimum = 1;
  about_.transmission_flags = offered_flags(read_only);
  if (size > 0) make(past);
}

void MemoryBackend::make(const Past& past) {
  if (past.keepsakes == nullptr) {
    memory_ = Mapping(about_.size);
    return;
  }
  auto found = find_kept(past, keepsake);
  if (!found) {
    found = make_memory(keepsake, about_.size);
    past.keepsakes->keep(keepsake, found->get());
  }
  if (size_of(found->get()) != about_.size) {
    throw Failure(FailureKind::usage, "memory: has " + std::to_string(size_of(found->get())) +
                                          " bytes and keeps them; detach the device first");
  }
  file_ = std::move(*found);
  memory_ = Mapping(file_.get(), 0, about_.size);
}

std::unique_ptr<BackendLane> MemoryBackend::open_lane(Loop& loop) {
  return std::make_unique<MemoryLane>(loop, bytes(), file_.get());
}

}  // namespace nbdring
