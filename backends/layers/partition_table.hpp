#pragma once
// The partitions of a disk, numbered as Linux numbers them: 1 to 4 are an MBR's own, from 5 on the
// logical ones; a GPT's are numbered by their place in its array. What a table says is not
// believed: checksums are checked, counts are limited, and partitions lie within the disk.
//
// Sources: UEFI specification, chapter 5 (GPT); what fdisk and Linux agree on for the MBR.

#include <cstdint>
#include <string>
#include <vector>

#include "backends/layers/layers_probe.hpp"

namespace nbdring {

struct Partition {
  unsigned number = 0;
  std::uint64_t offset = 0;  // bytes
  std::uint64_t size = 0;    // bytes
};

struct PartitionTable {
  const char* kind = "";  // "GPT" or "MBR"
  std::vector<Partition> partitions;
};

/// Throws Failure (failed) for a disk without a table, or with one that is damaged.
PartitionTable read_partition_table(LayerProbe& disk, Log& log);

/// Throws Failure (failed) where neither the GPT nor its copy at the disk's end is whole.
PartitionTable read_gpt(LayerProbe& disk, Log& log);

/// CRC-32 as GPT has it (ISO 3309).
std::uint32_t crc32(std::span<const std::byte> bytes) noexcept;

}  // namespace nbdring
