#include "backends/layers/cache.hpp"

#include <algorithm>

#include "backends/layers/cache_lane.hpp"
#include "backends/layers/cow_file.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t least_bytes = std::uint64_t{1} << 20;
constexpr std::uint64_t most_bytes = std::uint64_t{256} << 30;  // 128 MiB of memory

/// As many as the options allow, and not more than there are blocks below.
std::size_t slots_for(const Backend& below, const CacheOptions& options) {
  const std::uint64_t useful = below.about().size / CacheLane::block_bytes + CacheTable::ways;
  const std::uint64_t slots = std::min(options.bytes / CacheLane::block_bytes, useful);
  return slots / CacheTable::ways * CacheTable::ways;
}

}  // namespace

CacheBackend::CacheBackend(std::unique_ptr<Backend> under, const CacheOptions& options, Log& log)
    : LayerBackend(std::move(under)), table_(slots_for(below(), options)) {
  const std::uint64_t bytes = slots_for(below(), options) * CacheLane::block_bytes;
  file_ = open_scratch_file(options.path, bytes, log);
}

std::unique_ptr<BackendLane> CacheBackend::open_lane(Loop& loop) {
  return std::make_unique<CacheLane>(loop, below().open_lane(loop), *this);
}

std::unique_ptr<Backend> cached(std::unique_ptr<Backend> below, const CacheOptions& options,
                                Log& log) {
  ENSURE(options.bytes >= least_bytes && options.bytes <= most_bytes);
  if (below->about().block_size.maximum < CacheLane::block_bytes) {
    throw Failure(FailureKind::usage, "--layer cache: what is below takes requests of " +
                                          std::to_string(below->about().block_size.maximum) +
                                          " bytes at most; 64 KiB are needed");
  }
  return std::make_unique<CacheBackend>(std::move(below), options, log);
}

std::unique_ptr<Backend> make_cache_layer(std::unique_ptr<Backend> below,
                                          const LayerArgument& argument, Log& log) {
  CacheOptions options;
  bool is_first = true;
  for (const auto& [key, value] : argument.parts()) {
    if (key.empty() && is_first) {
      options.path = value;
    } else if (key == "size") {
      options.bytes = argument.bytes(value);
    } else if (key == "mode" && value == "writeback") {
      argument.refuse("a write that is acknowledged must be where the backend promises");
    } else if (key != "mode" || value != "writethrough") {
      argument.refuse("'" + key + (key.empty() ? "" : "=") + value + "' means nothing here");
    }
    is_first = false;
  }
  if (options.bytes < least_bytes || options.bytes > most_bytes) {
    argument.refuse("the size must lie from 1M to 256G");
  }
  return cached(std::move(below), options, log);
}

}  // namespace nbdring
