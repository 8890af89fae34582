#include "backends/layers/readahead.hpp"

#include "backends/layers/readahead_lane.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t default_bytes = 1024 * 1024;
constexpr std::uint64_t step = 256 * 1024;  // so that each piece is a whole number of 64 KiB
constexpr std::uint64_t most_bytes = 64 * 1024 * 1024;

class ReadAheadBackend final : public LayerBackend {
 public:
  ReadAheadBackend(std::unique_ptr<Backend> under, std::uint64_t bytes)
      : LayerBackend(std::move(under)), bytes_(bytes) {
    const std::uint64_t most = about().block_size.maximum;
    if (bytes_ / 4 > most) bytes_ = most / (step / 4) * step;
    if (bytes_ == 0) {
      throw Failure(FailureKind::usage, "--layer readahead: what is below takes requests of " +
                                            std::to_string(most) +
                                            " bytes at most; 64 KiB are needed");
    }
  }

  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    return std::make_unique<ReadAheadLane>(below().open_lane(loop), stamps_, about().size, bytes_);
  }

 private:
  std::uint64_t bytes_;
  ChangeStamps stamps_;
};

}  // namespace

std::unique_ptr<Backend> read_ahead(std::unique_ptr<Backend> below, std::uint64_t bytes) {
  ENSURE(bytes > 0 && bytes % step == 0);
  return std::make_unique<ReadAheadBackend>(std::move(below), bytes);
}

std::unique_ptr<Backend> make_readahead_layer(std::unique_ptr<Backend> below,
                                              const LayerArgument& argument, Log&) {
  const std::uint64_t bytes = argument.empty() ? default_bytes : argument.bytes(argument.text());
  if (bytes < step || bytes > most_bytes || bytes % step != 0) {
    argument.refuse("the number of bytes must be a multiple of 256K, from 256K to 64M");
  }
  return read_ahead(std::move(below), bytes);
}

}  // namespace nbdring
