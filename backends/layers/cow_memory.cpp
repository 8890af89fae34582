#include "backends/layers/cow_memory.hpp"

#include <memory>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t magic = 0x6e6264'636f7721'01;  // "nbdcow!", version 1
constexpr std::size_t page = 4096;

}  // namespace

CowMemory::CowMemory(std::uint64_t base_bytes, std::size_t words, const Past& past,
                     const std::string& name)
    : past_(past), name_(name) {
  static_assert(sizeof(Head) <= page && sizeof(std::atomic<std::uint64_t>) == 8);
  const std::size_t bytes = page + words * sizeof(std::uint64_t);
  auto found = find_kept(past, name);
  was_found_ = found.has_value();
  file_ = found ? std::move(*found) : make_memory(name, bytes);
  // Before it is touched: beyond its end a mapping kills.
  const bool fits = size_of(file_.get()) == bytes;
  if (fits) {
    mapping_ = Mapping(file_.get(), 0, bytes);
    head_ = reinterpret_cast<Head*>(mapping_.bytes().data());
    words_ = {reinterpret_cast<std::atomic<std::uint64_t>*>(mapping_.bytes().data() + page), words};
  }
  if (fits && !was_found_) {
    head_->magic = magic;
    head_->base_bytes = base_bytes;
  }
  if (!fits || head_->magic != magic || head_->base_bytes != base_bytes) {
    throw Failure(FailureKind::usage,
                  "--layer cow: what is below has " + std::to_string(base_bytes) +
                      " bytes now, and the overlay belongs to the size that it had: it must not "
                      "change while the device is attached");
  }
}

void CowMemory::keep() {
  if (past_.keepsakes != nullptr && !was_found_) past_.keepsakes->keep(name_, file_.get());
}

}  // namespace nbdring
