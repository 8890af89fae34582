#include "backends/layers/partition.hpp"

#include <algorithm>

#include "backends/layers/offset.hpp"
#include "backends/layers/partition_table.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t number_max = 8192;  // more entries than a GPT of 1 MiB has
constexpr std::size_t shown_max = 16;

std::string found_text(const PartitionTable& table) {
  if (table.partitions.empty()) return "the " + std::string(table.kind) + " has none";
  std::string text = "the " + std::string(table.kind) + " has ";
  const std::size_t shown = std::min(table.partitions.size(), shown_max);
  for (std::size_t i = 0; i < shown; ++i) {
    const Partition& partition = table.partitions[i];
    text += (i == 0 ? "" : ", ") + std::to_string(partition.number) + " (" +
            std::to_string(partition.size) + " bytes at " + std::to_string(partition.offset) + ")";
  }
  const std::size_t left = table.partitions.size() - shown;
  return left == 0 ? text : text + " and " + std::to_string(left) + " more";
}

}  // namespace

std::unique_ptr<Backend> make_partition_layer(std::unique_ptr<Backend> below,
                                              const LayerArgument& argument, Log& log) {
  const std::uint64_t number = argument.number(argument.text(), 1, number_max);
  PartitionTable table;
  {
    LayerProbe disk(*below, argument);
    table = read_partition_table(disk, log);
  }
  for (const Partition& partition : table.partitions) {
    if (partition.number != number) continue;
    return windowed(std::move(below), {partition.offset, partition.size}, argument);
  }
  argument.fail(FailureKind::usage,
                "there is no partition " + std::to_string(number) + ": " + found_text(table));
}

}  // namespace nbdring
