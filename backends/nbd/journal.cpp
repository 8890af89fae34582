#include "backends/nbd/journal.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t granule = 8;   // entries begin at multiples of it
constexpr unsigned place_bits = 32;  // of what is used, in Place::used

std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// The same memory twice in a row.
std::byte* map_twice(int file, std::uint64_t place, std::size_t bytes) {
  void* both = ::mmap(nullptr, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (both == MAP_FAILED) fail_errno(FailureKind::failed, "cannot map a journal");
  auto* first = static_cast<std::byte*>(both);
  for (std::byte* half : {first, first + bytes}) {
    if (::mmap(half, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
               static_cast<off_t>(place)) == MAP_FAILED) {
      const int error = errno;
      ::munmap(both, 2 * bytes);
      fail_errno(FailureKind::failed, "cannot map a journal", error);
    }
  }
  return first;
}

}  // namespace

struct Journal::Header {
  std::uint64_t sequence;
  std::uint64_t offset;
  std::uint64_t length;
  std::uint32_t payload;
  BackendRequest::Kind kind;
  bool no_hole;
};

Journal::Journal(int file, std::uint64_t place, std::size_t capacity)
    : page_(file, place, page),
      place_(reinterpret_cast<Place*>(page_.bytes().data())),
      capacity_(capacity) {
  ENSURE(capacity > 0 && capacity % page == 0 && capacity < UINT32_MAX);
  memory_ = map_twice(file, place + page, capacity);
  load();
}

Journal::~Journal() { ::munmap(memory_, 2 * capacity_); }

// What is checked here was written by us: it can be wrong only where something wrote over it.
void Journal::load() {
  const std::uint64_t used = place_->used.load(std::memory_order_acquire);
  head_ = used >> place_bits;
  tail_ = head_ + (used & UINT32_MAX);
  std::uint64_t position = head_;
  std::uint64_t sequence = 0;
  bool is_whole = head_ < capacity_ && tail_ - head_ <= capacity_;
  while (is_whole && position < tail_) {
    const Header& header = header_at(position);
    BackendRequest request;
    request.kind = header.kind;
    position += sizeof header + round_up(header.payload, granule);
    is_whole = position <= tail_ && header.sequence > sequence && request.is_change() &&
               (header.payload == 0 || header.payload == header.length);
    sequence = header.sequence;
    entries_.add(1);
    payload_bytes_.add(header.payload);
  }
  if (is_whole) return;
  ::munmap(memory_, 2 * capacity_);
  throw Failure(FailureKind::failed, "the journal that was kept is damaged");
}

void Journal::publish() noexcept {
  place_->used.store(head_ % capacity_ << place_bits | (tail_ - head_), std::memory_order_release);
}

std::size_t Journal::bytes_for(const BackendRequest& request) {
  return sizeof(Header) + round_up(request.source.size(), granule);
}

bool Journal::reserve(std::size_t bytes) noexcept {
  if (bytes > capacity_ - (tail_ - head_) - reserved_) return false;
  reserved_ += bytes;
  return true;
}

void Journal::unreserve(std::size_t bytes) noexcept {
  ENSURE(bytes <= reserved_);
  reserved_ -= bytes;
}

void Journal::append(std::uint64_t sequence, const BackendRequest& request) noexcept {
  ENSURE(request.is_change());
  const std::size_t bytes = bytes_for(request);
  unreserve(bytes);
  const Header header{sequence,       request.offset,
                      request.length, static_cast<std::uint32_t>(request.source.size()),
                      request.kind,   request.mode.no_hole};
  std::memcpy(at(tail_), &header, sizeof header);
  if (!request.source.empty()) {
    std::memcpy(at(tail_) + sizeof header, request.source.data(), request.source.size());
  }
  tail_ += bytes;
  publish();
  entries_.add(1);
  payload_bytes_.add(request.source.size());
}

const Journal::Header& Journal::header_at(std::uint64_t position) const {
  static_assert(sizeof(Header) % granule == 0 && alignof(Header) <= granule);
  return *reinterpret_cast<const Header*>(at(position));
}

void Journal::prune(std::uint64_t durable) noexcept {
  while (head_ != tail_) {
    const Header& header = header_at(head_);
    if (header.sequence > durable) return publish();
    entries_.set(entries_.get() - 1);
    payload_bytes_.set(payload_bytes_.get() - header.payload);
    head_ += sizeof header + round_up(header.payload, granule);
  }
  head_ = tail_ = 0;
  publish();
}

Journal::Entry Journal::Cursor::entry() const {
  const Header& header = journal_->header_at(position_);
  const std::span payload(journal_->at(position_) + sizeof header, header.payload);
  Entry entry;
  entry.sequence = header.sequence;
  entry.request.kind = header.kind;
  entry.request.offset = header.offset;
  entry.request.length = header.length;
  entry.request.source = payload;
  entry.request.mode.no_hole = header.no_hole;
  return entry;
}

void Journal::Cursor::advance() {
  const Header& header = journal_->header_at(position_);
  position_ += sizeof header + round_up(header.payload, granule);
}

}  // namespace nbdring
