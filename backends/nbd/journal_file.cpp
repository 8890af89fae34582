#include "backends/nbd/journal_file.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t magic = 0x6e6264'6a726e6c'01;  // "nbdjrnl", version 1
constexpr std::size_t page = 4096;
constexpr std::size_t capacity_max = std::size_t{1} << 30;
const std::string keepsake = "journal";

void put_text(std::span<char> place, const std::string& text) {
  const std::size_t length = std::min(text.size(), place.size() - 1);
  std::memcpy(place.data(), text.data(), length);
  place[length] = '\0';
}

// What was cut when it was put is cut again, so that equal texts stay equal.
std::string get_text(std::span<const char> place) {
  return {place.data(), ::strnlen(place.data(), place.size())};
}

}  // namespace

JournalFile::JournalFile(std::size_t capacity, Keepsakes* keepsakes) {
  static_assert(sizeof(Head) <= page);
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
  auto found = keepsakes == nullptr ? std::nullopt : keepsakes->find(keepsake);
  if (!found) {
    make(capacity, keepsakes);
    return;
  }
  file_ = std::move(*found);
  if (size_of(file_.get()) < page) {
    throw Failure(FailureKind::failed, "the journal that was kept is damaged: it has no head");
  }
  mapping_ = Mapping(file_.get(), 0, page);
  head_ = reinterpret_cast<Head*>(mapping_.bytes().data());
  const std::uint64_t capacity_found = head_->capacity;
  const bool is_ours = head_->magic == magic && capacity_found > 0 && capacity_found % page == 0 &&
                       capacity_found <= capacity_max;
  if (!is_ours || place_of(head_->count) > size_of(file_.get())) {
    throw Failure(FailureKind::failed, "the journal that was kept is not one of this program");
  }
  was_found_ = true;
}

void JournalFile::make(std::size_t capacity, Keepsakes* keepsakes) {
  file_ = make_memory(keepsake, page);
  mapping_ = Mapping(file_.get(), 0, page);
  head_ = new (mapping_.bytes().data()) Head{};
  head_->magic = magic;
  head_->all_held = 1;
  head_->capacity = std::min((capacity + page - 1) / page * page, capacity_max);
  if (keepsakes != nullptr) keepsakes->keep(keepsake, file_.get());
}

std::uint64_t JournalFile::place_of(std::uint64_t index) const {
  return page + index * (page + head_->capacity);
}

std::vector<std::unique_ptr<Journal>> JournalFile::take_found() {
  std::vector<std::unique_ptr<Journal>> found;
  for (std::uint64_t i = 0; i < head_->count; ++i) {
    found.push_back(std::make_unique<Journal>(file_.get(), place_of(i), head_->capacity));
  }
  return found;
}

std::unique_ptr<Journal> JournalFile::add() {
  const std::uint64_t count = head_->count;
  if (::ftruncate(file_.get(), static_cast<off_t>(place_of(count + 1))) != 0) {
    fail_errno(FailureKind::failed, "cannot make a journal");
  }
  auto journal = std::make_unique<Journal>(file_.get(), place_of(count), head_->capacity);
  head_->count = count + 1;
  return journal;
}

void JournalFile::note_fence(Clock::time_point until) noexcept {
  head_->fence = std::max<std::int64_t>(head_->fence, until.time_since_epoch().count());
}

void JournalFile::set_fence(Clock::time_point until) noexcept {
  head_->fence = until.time_since_epoch().count();
}

Clock::time_point JournalFile::fence() const {
  return Clock::time_point(Clock::duration(head_->fence.load()));
}

void JournalFile::set_identity(const Export& about) noexcept {
  head_->size = about.size;
  head_->minimum_block = about.block_size.minimum;
  head_->transmission_flags = about.transmission_flags;
  put_text(head_->name, about.name);
  put_text(head_->description, about.description);
}

Export JournalFile::shortened(Export about) {
  about.name.resize(std::min(about.name.size(), text_bytes - 1));
  about.description.resize(std::min(about.description.size(), text_bytes - 1));
  return about;
}

Export JournalFile::identity() const {
  Export about;
  about.size = head_->size;
  about.block_size.minimum = head_->minimum_block;
  about.transmission_flags = head_->transmission_flags;
  about.name = get_text(head_->name);
  about.description = get_text(head_->description);
  return about;
}

}  // namespace nbdring
