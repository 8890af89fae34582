#include "backends/nbd/journal.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t granule = 8;  // entries begin at multiples of it

std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// The same memory twice in a row.
std::byte* map_twice(std::size_t bytes) {
  const FileDescriptor memory(::memfd_create("nbdring-journal", MFD_CLOEXEC));
  if (!memory.is_open() || ::ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0) {
    fail_errno(FailureKind::failed, "cannot make a journal of " + std::to_string(bytes) + " bytes");
  }
  void* both = ::mmap(nullptr, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (both == MAP_FAILED) fail_errno(FailureKind::failed, "cannot map a journal");
  auto* first = static_cast<std::byte*>(both);
  for (std::byte* half : {first, first + bytes}) {
    if (::mmap(half, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory.get(), 0) ==
        MAP_FAILED) {
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

Journal::Journal(std::size_t capacity)
    : capacity_(round_up(capacity, page)), memory_(map_twice(capacity_)) {}

Journal::~Journal() { ::munmap(memory_, 2 * capacity_); }

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
    if (header.sequence > durable) return;
    entries_.set(entries_.get() - 1);
    payload_bytes_.set(payload_bytes_.get() - header.payload);
    head_ += sizeof header + round_up(header.payload, granule);
  }
  head_ = tail_ = 0;
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
