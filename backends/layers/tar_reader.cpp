// From one header to the next. See tar_archive.hpp.

#include <algorithm>
#include <charconv>
#include <cstring>

#include "backends/layers/tar_archive.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t record = 512;  // bytes; headers and contents begin at multiples of it
constexpr std::uint64_t members_max = 1ULL << 22;  // an XVA's disks with 4 TiB
constexpr std::uint64_t extended_bytes_max = 64 * 1024;

struct Field {
  std::size_t begin, length;
};
constexpr Field name_field{0, 100}, size_field{124, 12}, checksum_field{148, 8},
    prefix_field{345, 155};
constexpr std::size_t type_at = 156, magic_at = 257;
constexpr std::size_t sparse_more_at = 482, sparse_map_more_at = 504;  // GNU's

std::string_view text_of(std::span<const std::byte> bytes) {
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return all.substr(0, all.find('\0'));
}

std::string_view text_in(std::span<const std::byte> header, Field field) {
  return text_of(header.subspan(field.begin, field.length));
}

template <int Base>
std::optional<std::uint64_t> number_of(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (text.empty()) return 0;
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, Base);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

// Octal digits; GNU's large numbers begin with a byte of 0x80 and are binary.
std::optional<std::uint64_t> size_in(std::span<const std::byte> header) {
  const auto bytes = header.subspan(size_field.begin, size_field.length);
  if (bytes[0] != std::byte{0x80}) return number_of<8>(text_in(header, size_field));
  std::uint64_t number = 0;
  for (const std::byte byte : bytes.subspan(1)) {
    if (number >> 55 != 0) return std::nullopt;
    number = number << 8 | std::to_integer<std::uint64_t>(byte);
  }
  return number;
}

bool has_its_checksum(std::span<const std::byte> header) {
  const auto told = number_of<8>(text_in(header, checksum_field));
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < record; ++i) {
    const bool is_own =
        i >= checksum_field.begin && i < checksum_field.begin + checksum_field.length;
    sum += is_own ? ' ' : std::to_integer<std::uint64_t>(header[i]);
  }
  return told && *told == sum;
}

std::string normal(std::string name) {
  while (name.starts_with("./")) name.erase(0, 2);
  while (!name.empty() && name.back() == '/') name.pop_back();
  return name;
}

}  // namespace

void TarReader::fail(const std::string& problem) const {
  archive_.argument().fail(FailureKind::failed, problem);
}

std::optional<TarMember> TarReader::read_header() {
  if (archive_.size() < record || at_ > archive_.size() - record) return std::nullopt;
  const auto header = archive_.read(at_, record);
  const bool is_end =
      std::all_of(header.begin(), header.end(), [](std::byte b) { return b == std::byte{0}; });
  if (is_end && at_ > 0) return std::nullopt;
  if (++members_ > members_max) fail("the archive has too many members");
  const auto size = size_in(header);
  if (is_end || !has_its_checksum(header) || !size) {
    fail(at_ == 0 ? "what is below is no tar archive; one that is compressed has to be unpacked"
                  : "the archive is damaged at byte " + std::to_string(at_));
  }
  TarMember member;
  member.name = std::string(text_in(header, name_field));
  member.type = std::to_integer<char>(header[type_at]);
  // GNU's own format, "ustar ", has other things where ustar has the prefix.
  const bool has_prefix = std::memcmp(header.data() + magic_at, "ustar\0", 6) == 0;
  const auto prefix = has_prefix ? text_in(header, prefix_field) : std::string_view();
  if (!prefix.empty()) member.name = std::string(prefix) + "/" + member.name;
  member.offset = at_ + record;
  const bool has_contents = member.type < '2' || member.type > '6';  // no links, devices, folders
  member.size = has_contents ? *size : 0;
  if (member.type == 'S' && header[sparse_more_at] != std::byte{0}) skip_sparse_maps(member);
  return member;
}

// A map of holes that does not fit the header goes on in records of its own.
void TarReader::skip_sparse_maps(TarMember& member) {
  for (bool more = true; more; member.offset += record) {
    if (member.offset > archive_.size() - record) fail("the archive ends within a map of holes");
    more = archive_.read(member.offset, record)[sparse_map_more_at] != std::byte{0};
  }
}

std::string TarReader::read_text(const TarMember& member) {
  if (member.size > extended_bytes_max) fail("an extended header is longer than 64 KiB");
  const auto bytes = archive_.read(member.offset, member.size);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// "LENGTH KEY=VALUE\n", the length that of all of it.
void TarReader::read_pax(const TarMember& member, Extended& extended) const {
  if (member.size > extended_bytes_max) fail("an extended header is longer than 64 KiB");
  const auto bytes = archive_.read(member.offset, member.size);
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (!rest.empty() && rest.front() != '\0') {
    const std::size_t space = rest.find(' ');
    const auto length = number_of<10>(rest.substr(0, space));
    if (space == std::string_view::npos || !length || *length <= space + 1 ||
        *length > rest.size()) {
      fail("an extended header is damaged");
    }
    const auto line = rest.substr(space + 1, *length - space - 2);
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) fail("an extended header is damaged");
    const auto key = line.substr(0, equals);
    const auto value = line.substr(equals + 1);
    if (key == "path") extended.name = std::string(value);
    if (key.starts_with("GNU.sparse.")) extended.is_sparse = true;
    if (key == "size") {
      extended.size = number_of<10>(value);
      if (!extended.size) fail("an extended header is damaged");
    }
    rest.remove_prefix(*length);
  }
}

std::optional<TarMember> TarReader::next() {
  Extended extended;
  for (;;) {
    auto member = read_header();
    if (!member) return std::nullopt;
    const bool is_about_next = member->type == 'L' || member->type == 'x';
    if (!is_about_next && extended.size) member->size = *extended.size;
    const std::uint64_t left = archive_.size() - member->offset;
    if (member->size > left) {
      fail("the archive ends within '" + member->name.substr(0, 100) + "'");
    }
    if (member->type == 'L') extended.name = read_text(*member).c_str();
    if (member->type == 'x') read_pax(*member, extended);
    at_ = member->offset + (member->size + record - 1) / record * record;
    if (is_about_next || member->type == 'K' || member->type == 'g') continue;
    if (extended.name) member->name = *extended.name;
    member->name = normal(std::move(member->name));
    member->is_sparse = extended.is_sparse || member->type == 'S';
    return member;
  }
}

}  // namespace nbdring
