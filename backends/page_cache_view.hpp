#pragma once
// Which pages of a file are in the page cache, and filled: what can be read without waiting for the
// disk. No read can tell without copying, and splice(2) does not know RWF_NOWAIT.
//
// mincore(2) tells, of a mapping that is never touched: it takes address space, and no memory. Of a
// file that the caller neither owns nor may write it would say that all is there; then there is no
// view. Constant after construction, any thread.

#include <cstddef>
#include <cstdint>

namespace nbdring {

class PageCacheView {
 public:
  /// The most that holds() is asked for at once, in bytes.
  static constexpr std::size_t largest = 1024 * 1024;

  PageCacheView() = default;
  PageCacheView(const PageCacheView&) = delete;
  PageCacheView& operator=(const PageCacheView&) = delete;
  ~PageCacheView();

  /// bytes: of the file, from its begin. False: there is no view of this one.
  bool open(int fd, std::uint64_t bytes) noexcept;
  bool is_open() const { return bytes_ > 0; }
  /// Of a file that was cut after open(), pages beyond its new end may seem to be there.
  bool holds(std::uint64_t position, std::size_t length) const noexcept;

 private:
  std::byte* begin_ = nullptr;
  std::uint64_t bytes_ = 0;
};

}  // namespace nbdring
