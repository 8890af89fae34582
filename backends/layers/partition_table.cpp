// The MBR, with the chain of logical partitions. See partition_table.hpp.

#include "backends/layers/partition_table.hpp"

#include <array>
#include <optional>

namespace nbdring {
namespace {

constexpr std::uint64_t sector = 512;  // bytes
constexpr unsigned first_logical = 5;
constexpr unsigned logical_max = 256;  // a chain may lead back to itself
constexpr std::size_t entries_at = 446;
constexpr std::uint8_t protective = 0xee;  // the disk has a GPT

struct Entry {
  std::uint8_t type = 0;
  std::uint64_t first = 0;  // sectors
  std::uint64_t sectors = 0;

  bool is_extended() const { return type == 0x05 || type == 0x0f || type == 0x85; }
  bool is_used() const { return type != 0 && sectors != 0; }
};

using Entries = std::array<Entry, 4>;

/// None: no such table is there.
std::optional<Entries> read_entries(LayerProbe& disk, std::uint64_t at) {
  if (at >= disk.size() / sector) return std::nullopt;
  const auto bytes = disk.read(at * sector, sector);
  if (little_endian<2>(bytes, 510) != 0xaa55) return std::nullopt;
  Entries entries;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::size_t begin = entries_at + 16 * i;
    // Other boot sectors, those of FAT for one, end with the same two bytes.
    const auto boot = std::to_integer<std::uint8_t>(bytes[begin]);
    if (boot != 0x00 && boot != 0x80) return std::nullopt;
    entries[i] = {std::to_integer<std::uint8_t>(bytes[begin + 4]),
                  little_endian<4>(bytes, begin + 8), little_endian<4>(bytes, begin + 12)};
  }
  return entries;
}

void add(PartitionTable& table, unsigned number, std::uint64_t first, std::uint64_t sectors,
         const LayerProbe& disk) {
  const std::uint64_t all = disk.size() / sector;
  if (first >= all || sectors > all - first) return;  // not on this disk
  table.partitions.push_back({number, first * sector, sectors * sector});
}

// Each link describes a partition, relative to itself, and the next link, relative to the first.
void add_logical(PartitionTable& table, std::uint64_t extended, LayerProbe& disk) {
  unsigned number = first_logical;
  std::uint64_t link = extended;
  for (unsigned links = 0; links < logical_max; ++links) {
    const auto entries = read_entries(disk, link);
    if (!entries) return;
    std::uint64_t next = 0;
    for (const Entry& entry : *entries) {
      if (!entry.is_used()) continue;
      if (!entry.is_extended()) {
        add(table, number++, link + entry.first, entry.sectors, disk);
      } else if (next == 0) {
        next = extended + entry.first;
      }
    }
    if (next == 0) return;
    link = next;
  }
  disk.argument().fail(FailureKind::failed,
                       "the MBR has more than 256 logical partitions, or a "
                       "circle of them; repair it with fdisk");
}

}  // namespace

PartitionTable read_partition_table(LayerProbe& disk, Log& log) {
  const auto entries = read_entries(disk, 0);
  if (!entries) disk.argument().fail(FailureKind::failed, "there is no partition table below");
  for (const Entry& entry : *entries) {
    if (entry.type == protective) return read_gpt(disk, log);
  }
  PartitionTable table{"MBR", {}};
  for (unsigned i = 0; i < entries->size(); ++i) {
    const Entry& entry = (*entries)[i];
    if (entry.is_used() && !entry.is_extended()) {
      add(table, i + 1, entry.first, entry.sectors, disk);
    }
  }
  for (const Entry& entry : *entries) {
    if (entry.is_used() && entry.is_extended()) {
      add_logical(table, entry.first, disk);
      break;  // a second one is against the rules
    }
  }
  return table;
}

}  // namespace nbdring
