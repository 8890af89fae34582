#include "tests/support/faulty_backend.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

namespace nbdring {
namespace {

constexpr std::uint64_t extent_bytes = 4096;

}  // namespace

/// Where an operation waits for the test.
class FaultyBackend::Wait {
 public:
  explicit Wait(FaultyBackend& backend) : backend_(backend) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    waiting_ = waiting;
    backend_.waiting_.push_back(this);
  }
  void await_resume() const noexcept {}
  void end() { waiting_.resume(); }

 private:
  FaultyBackend& backend_;
  std::coroutine_handle<> waiting_;
};

class FaultyLane final : public BackendLane {
 public:
  FaultyLane(Loop& loop, FaultyBackend& backend, std::size_t index)
      : loop_(loop), backend_(backend), index_(index) {}

  FramePool& frames() override { return loop_.frames(); }

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    const auto fate = backend_.decide(index_, nbd::cmd_read, offset, buffer.size());
    std::fill(buffer.begin(), buffer.end(), std::byte{0xee});
    if (fate.early) copy_out(offset, buffer);
    if (fate.waits) {
      co_await wait();
    }
    if (fate.error == 0 && !fate.early) copy_out(offset, buffer);
    co_return done(nbd::cmd_read, offset, fate.error);
  }

  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
    const auto fate = backend_.decide(index_, nbd::cmd_write, offset, buffer.size());
    // A write that fails may have stored a part.
    const std::size_t stored = fate.error == 0 ? buffer.size() : buffer.size() / 2;
    if (fate.early) copy_in(offset, buffer.first(stored));
    if (fate.waits) {
      co_await wait();
    }
    if (!fate.early) copy_in(offset, buffer.first(stored));
    co_return stored_range(nbd::cmd_write, offset, buffer.size(), fate.error, fua);
  }

  Task<Status> flush() override {
    const auto fate = backend_.decide(index_, nbd::cmd_flush, 0, 0);
    const std::uint64_t covered = backend_.dirty_end();
    if (fate.waits) {
      co_await wait();
    }
    if (fate.error == 0) backend_.stabilise_until(covered);
    co_return done(nbd::cmd_flush, 0, fate.error);
  }

  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override {
    const auto fate = backend_.decide(index_, nbd::cmd_trim, offset, length);
    if (fate.waits) {
      co_await wait();
    }
    if (fate.error == 0) zero(offset, length);
    co_return stored_range(nbd::cmd_trim, offset, length, fate.error, fua);
  }

  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
    const auto fate = backend_.decide(index_, nbd::cmd_write_zeroes, offset, length);
    if (fate.early && fate.error == 0) zero(offset, length);
    if (fate.waits) {
      co_await wait();
    }
    if (fate.error == 0) zero(offset, length);
    co_return stored_range(nbd::cmd_write_zeroes, offset, length, fate.error, mode.fua);
  }

  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
    const auto fate = backend_.decide(index_, nbd::cmd_block_status, offset, length);
    if (fate.waits) {
      co_await wait();
    }
    const std::uint64_t end = offset + length;
    list.used = 0;
    while (offset < end && list.used < list.descriptors.size()) {
      const std::uint64_t next = std::min((offset / extent_bytes + 1) * extent_bytes, end);
      list.descriptors[list.used++] = nbd::Extent{static_cast<std::uint32_t>(next - offset),
                                                  FaultyBackend::extent_flags_at(offset)};
      offset = next;
    }
    co_return done(nbd::cmd_block_status, end - length, fate.error);
  }

 private:
  FaultyBackend::Wait wait() { return FaultyBackend::Wait(backend_); }

  Status done(std::uint16_t command, std::uint64_t offset, int error) {
    backend_.ended(index_, command, offset, error);
    return Status::from_errno(error);
  }

  Status stored_range(std::uint16_t command, std::uint64_t offset, std::uint64_t length, int error,
                      bool fua) {
    const FaultyBackend::Range range{offset, length};
    if (error == 0) backend_.make_dirty(range);
    if (error == 0 && fua) backend_.stabilise(range);
    return done(command, offset, error);
  }

  void copy_out(std::uint64_t offset, std::span<std::byte> buffer) {
    std::copy_n(backend_.contents_.begin() + static_cast<std::ptrdiff_t>(offset), buffer.size(),
                buffer.begin());
  }
  void copy_in(std::uint64_t offset, std::span<const std::byte> buffer) {
    std::copy(buffer.begin(), buffer.end(),
              backend_.contents_.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  void zero(std::uint64_t offset, std::uint64_t length) {
    std::fill_n(backend_.contents_.begin() + static_cast<std::ptrdiff_t>(offset), length,
                std::byte{0});
  }

  Loop& loop_;
  FaultyBackend& backend_;
  std::size_t index_;
};

FaultyBackend::FaultyBackend(const Export& about, Random& random, const FaultOptions& options)
    : about_(about),
      random_(random),
      options_(options),
      contents_(about.size),
      stable_(about.size) {}

void FaultyBackend::fill(std::span<const std::byte> bytes) {
  ENSURE(bytes.size() == contents_.size());
  contents_.assign(bytes.begin(), bytes.end());
  stable_ = contents_;
}

std::unique_ptr<BackendLane> FaultyBackend::open_lane(Loop& loop) {
  under_way_.push_back(0);
  return std::make_unique<FaultyLane>(loop, *this, under_way_.size() - 1);
}

FaultyBackend::Fate FaultyBackend::decide(std::size_t lane, std::uint16_t command,
                                          std::uint64_t offset, std::uint64_t length) {
  static constexpr std::array<int, 8> errors{EIO,    ENOSPC, ENOMEM, EINVAL,
                                             EDQUOT, ENXIO,  EACCES, EILSEQ};
  const bool is_flush = command == nbd::cmd_flush;
  ENSURE(is_flush || (length > 0 && length <= about_.size && offset <= about_.size - length));
  ENSURE((offset | length) % about_.block_size.minimum == 0);
  ++under_way_[lane];
  Fate fate;
  if (random_.percent(options_.error_percent)) {
    fate.error = random_.pick(errors);
    ++failures_[{lane, command, offset, length, fate.error}];
  }
  fate.waits = random_.percent(options_.waiting_percent);
  fate.early = random_.percent(50);
  return fate;
}

void FaultyBackend::ended(std::size_t lane, std::uint16_t command, std::uint64_t offset,
                          int error) {
  ENSURE(under_way_[lane] > 0);
  --under_way_[lane];
  if (!trace_) return;
  trace_("lane " + std::to_string(lane) + " backend: command " + std::to_string(command) + " at " +
         std::to_string(offset) + " ended with " + std::to_string(error));
}

void FaultyBackend::step() {
  for (std::size_t left = waiting_.size(); left > 0 && !waiting_.empty(); --left) {
    if (random_.percent(options_.ending_percent)) end_one(random_.below(waiting_.size()));
  }
}

void FaultyBackend::end_one(std::size_t index) {
  ENSURE(index < waiting_.size());
  Wait* wait = waiting_[index];
  waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
  wait->end();
}

void FaultyBackend::stabilise(const Range& range) {
  const auto begin = static_cast<std::ptrdiff_t>(range.offset);
  std::copy_n(contents_.begin() + begin, range.length, stable_.begin() + begin);
}

void FaultyBackend::stabilise_until(std::uint64_t sequence) {
  for (; dirty_begin_ < sequence; ++dirty_begin_) {
    stabilise(dirty_.front());
    dirty_.pop_front();
  }
}

std::uint32_t FaultyBackend::extent_flags_at(std::uint64_t offset) {
  return static_cast<std::uint32_t>(Random::mix(offset / extent_bytes) & 3);
}

}  // namespace nbdring
