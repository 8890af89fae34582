#pragma once
// One lane's access to a file: which requests are done by a call at once, and which by the ring.
// See backends/file.hpp.

#include "backends/file.hpp"
#include "client/engine/backend.hpp"

namespace nbdring {

class FileLane final : public BackendLane, private PageLender {
 public:
  FileLane(Loop& loop, FileBackend& backend) : loop_(loop), backend_(backend) {}

  FramePool& frames() override { return loop_.frames(); }

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override;
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override;
  Task<Status> flush() override;
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override;
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override;
  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override;
  /// A system call that runs cannot be called back: only what has steps ends before its next one.
  void give_up() noexcept override { is_given_up_ = true; }
  PageLender* lender() noexcept override { return backend_.cached_.is_open() ? this : nullptr; }

 private:
  Task<Status> read_in_ring(std::uint64_t position, std::span<std::byte> buffer);
  Task<Status> write_in_ring(std::uint64_t position, std::span<const std::byte> buffer, int rwf);
  Task<Status> write_zeros(std::uint64_t position, std::uint64_t length);
  Task<Status> fallocate(int mode, std::uint64_t position, std::uint64_t length);

  bool has_at_hand(std::uint64_t offset, std::size_t length) noexcept override;
  std::size_t lend(std::uint64_t offset, std::size_t length, int pipe) noexcept override;

  std::size_t read_now(std::uint64_t position, std::span<std::byte> buffer) noexcept;
  std::size_t write_now(std::uint64_t position, std::span<const std::byte> buffer) noexcept;
  bool is_part_of_sector(Status status) const;
  std::uint64_t position_of(std::uint64_t offset, std::uint64_t length) const;
  int fd() const { return backend_.file_.get(); }

  Loop& loop_;
  FileBackend& backend_;
  bool is_given_up_ = false;
  Clock::time_point writes_in_ring_until_{};  // a direct write had to wait: not again before this
};

}  // namespace nbdring
