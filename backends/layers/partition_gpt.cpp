// The GPT: a header with a checksum, and an array of entries with another. See partition_table.hpp.

#include <algorithm>
#include <cstring>
#include <optional>

#include "backends/layers/partition_table.hpp"

namespace nbdring {
namespace {

constexpr char signature[] = "EFI PART";
constexpr std::uint64_t header_bytes_min = 92;
constexpr std::uint64_t entry_bytes_min = 128;

/// Where the header is looked for.
struct Place {
  std::uint64_t sector_bytes;
  bool is_copy;  // in the disk's last sector
};

bool begins_with_signature(std::span<const std::byte> header) {
  return std::memcmp(header.data(), signature, sizeof signature - 1) == 0;
}

bool is_used(std::span<const std::byte> entry) {
  const auto type = entry.first(16);
  return std::any_of(type.begin(), type.end(), [](std::byte b) { return b != std::byte{0}; });
}

void add(PartitionTable& table, const Partition& partition, std::uint64_t first, std::uint64_t last,
         const LayerProbe& disk, std::uint64_t sector_bytes) {
  const std::uint64_t sectors = disk.size() / sector_bytes;
  if (first == 0 || first > last || last >= sectors) return;  // not on this disk
  table.partitions.push_back(
      {partition.number, first * sector_bytes, (last - first + 1) * sector_bytes});
}

/// None: there is none there, or it is damaged.
std::optional<PartitionTable> read_at(LayerProbe& disk, const Place& place) {
  const std::uint64_t sector = place.sector_bytes;
  const std::uint64_t sectors = disk.size() / sector;
  if (sectors < 3) return std::nullopt;
  const std::uint64_t own = place.is_copy ? sectors - 1 : 1;
  const auto found = disk.read(own * sector, sector);
  std::vector<std::byte> header(found.begin(), found.end());
  if (!begins_with_signature(header)) return std::nullopt;
  const std::uint64_t bytes = little_endian<4>(header, 12);
  if (bytes < header_bytes_min || bytes > sector) return std::nullopt;
  const auto checksum = little_endian<4>(header, 16);
  std::fill_n(header.begin() + 16, 4, std::byte{0});  // it was made without itself
  if (crc32(std::span(header).first(bytes)) != checksum) return std::nullopt;
  if (little_endian<8>(header, 24) != own) return std::nullopt;

  const std::uint64_t array = little_endian<8>(header, 72);
  const std::uint64_t count = little_endian<4>(header, 80);
  const std::uint64_t entry_bytes = little_endian<4>(header, 84);
  if (entry_bytes < entry_bytes_min || entry_bytes % 8 != 0) return std::nullopt;
  if (entry_bytes > LayerProbe::largest_read || count > LayerProbe::largest_read / entry_bytes) {
    return std::nullopt;
  }
  const std::uint64_t array_bytes = count * entry_bytes;
  if (array >= sectors || array_bytes > disk.size() - array * sector) return std::nullopt;
  const auto entries = disk.read(array * sector, array_bytes);
  if (crc32(entries) != little_endian<4>(header, 88)) return std::nullopt;

  PartitionTable table{"GPT", {}};
  for (unsigned i = 0; i < count; ++i) {
    const auto entry = entries.subspan(i * entry_bytes, entry_bytes);
    if (!is_used(entry)) continue;
    add(table, {i + 1, 0, 0}, little_endian<8>(entry, 32), little_endian<8>(entry, 40), disk,
        sector);
  }
  return table;
}

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes) noexcept {
  std::uint32_t crc = ~0U;
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0U);
  }
  return ~crc;
}

PartitionTable read_gpt(LayerProbe& disk, Log& log) {
  constexpr Place places[] = {{512, false}, {4096, false}, {512, true}, {4096, true}};
  for (const Place& place : places) {
    const auto table = read_at(disk, place);
    if (!table) continue;
    if (place.is_copy) {
      log.warning("the GPT is damaged: its copy at the end of the disk is used; repair it");
    }
    return *table;
  }
  disk.argument().fail(FailureKind::failed,
                       "the GPT and its copy are damaged or missing; repair it with gdisk");
}

}  // namespace nbdring
