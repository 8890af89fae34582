#include "client/engine/reply_pipe.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t page = 4096;         // bytes; the smallest that there is
constexpr int wanted_bytes = 1024 * 1024;  // what pipe-max-size allows anybody

}  // namespace

// One for the header, and one more where the range does not begin with a page.
std::size_t ReplyPipe::pages_for(std::size_t length) { return 1 + (length + page - 1) / page + 1; }

void ReplyPipe::open() noexcept {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return;
  outlet_.reset(ends[0]);
  inlet_.reset(ends[1]);
  ::fcntl(inlet_.get(), F_SETPIPE_SZ, wanted_bytes);
  const int bytes = ::fcntl(inlet_.get(), F_GETPIPE_SZ);
  if (bytes > 0) pages_ = static_cast<std::size_t>(bytes / ::sysconf(_SC_PAGESIZE));
}

// A pipe with room for a page takes it as a whole (pipe(7), PIPE_BUF), or there is no memory.
bool ReplyPipe::put_header(const ReplyHeader& header) noexcept {
  const auto head = header.used();
  return ::write(inlet_.get(), head.data(), head.size()) == static_cast<ssize_t>(head.size());
}

bool ReplyPipe::put(const ReplyHeader& header, PageLender& lender, std::uint64_t offset,
                    std::size_t length) noexcept {
  if (holds_scrap_ && bytes_ == 0) drop_rest();
  if (holds_scrap_ || length < smallest || pages_for(length) + used_ > pages_) return false;
  if (!lender.has_at_hand(offset, length)) return false;
  if (!put_header(header)) return false;
  if (lender.lend(offset, length, inlet_.get()) != length) {
    holds_scrap_ = true;
    return false;
  }
  used_ += pages_for(length);
  bytes_ += header.size + length;
  return true;
}

// How many of the pipe's places the payload takes is only known to the kernel, so it is tried.
std::size_t ReplyPipe::put_arrived(const ReplyHeader& header, ArrivalPipe& payload) noexcept {
  if (holds_scrap_ || !put_header(header)) return 0;
  const std::size_t moved = payload.move_to(inlet_.get());
  used_ += pages_for(moved);
  bytes_ += header.size + moved;
  return header.size + moved;
}

void ReplyPipe::taken(std::size_t bytes) noexcept {
  ENSURE(bytes <= bytes_);
  bytes_ -= bytes;
}

void ReplyPipe::emptied(std::size_t length) noexcept {
  ENSURE(pages_for(length) <= used_);
  used_ -= pages_for(length);
}

// Rare, so by reading it: there is no call that empties a pipe.
void ReplyPipe::drop_rest() noexcept {
  std::array<std::byte, page> scrap;
  ssize_t result = 0;
  do {
    result = ::read(outlet_.get(), scrap.data(), scrap.size());
  } while (result > 0);
  holds_scrap_ = false;
}

}  // namespace nbdring
