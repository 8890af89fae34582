#include "cli/bench/pattern.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr unsigned feistel_rounds = 4;  // even, so that the halves are back in their places

std::uint64_t mask_of(unsigned bits) { return (std::uint64_t{1} << bits) - 1; }

// log(1 + x) / x and (e^x - 1) / x, also where x is so small that both are 0 / 0.
constexpr double tiny = 1e-8;
double log1p_over(double x) { return std::abs(x) > tiny ? std::log1p(x) / x : 1 - x / 2; }
double expm1_over(double x) { return std::abs(x) > tiny ? std::expm1(x) / x : 1 + x / 2; }

}  // namespace

Permutation::Permutation(std::uint64_t count, std::uint64_t key) : count_(count), key_(key) {
  ENSURE(count > 0);
  const unsigned bits = std::max(2U, static_cast<unsigned>(std::bit_width(count - 1)));
  low_bits_ = (bits + 1) / 2;
  high_bits_ = bits / 2;
}

std::uint64_t Permutation::round_trip(std::uint64_t value) const {
  unsigned low_bits = low_bits_;
  unsigned high_bits = high_bits_;
  for (unsigned round = 0; round < feistel_rounds; ++round) {
    const std::uint64_t low = value & mask_of(low_bits);
    const std::uint64_t high = value >> low_bits;
    const std::uint64_t mixed = BenchRandom::mix(low + key_ + round * 0x9e3779b97f4a7c15);
    value = low << high_bits | (high ^ (mixed & mask_of(high_bits)));
    std::swap(low_bits, high_bits);
  }
  return value;
}

std::uint64_t Permutation::operator()(std::uint64_t index) const {
  do {
    index = round_trip(index);
  } while (index >= count_);
  return index;
}

ZipfRanks::ZipfRanks(std::uint64_t count, double theta)
    : count_(static_cast<double>(count)), theta_(theta) {
  ENSURE(count > 0 && theta > 0);
  area_first_ = area(1.5) - 1;
  area_last_ = area(count_ + 0.5);
  sure_ = 2 - area_inverse(area(2.5) - height(2));
}

double ZipfRanks::height(double x) const { return std::exp(-theta_ * std::log(x)); }

// The integral of height() from 1 on, and its inverse.
double ZipfRanks::area(double x) const {
  const double log_x = std::log(x);
  return expm1_over((1 - theta_) * log_x) * log_x;
}

double ZipfRanks::area_inverse(double area) const {
  const double t = std::max(area * (1 - theta_), -1.0);
  return std::exp(log1p_over(t) * area);
}

std::uint64_t ZipfRanks::next(BenchRandom& random) const {
  for (;;) {
    const double at = area_last_ + random.fraction() * (area_first_ - area_last_);
    const double x = area_inverse(at);
    const double rank = std::clamp(std::floor(x + 0.5), 1.0, count_);
    if (rank - x <= sure_ || at >= area(rank + 0.5) - height(rank)) {
      return static_cast<std::uint64_t>(rank);
    }
  }
}

BlockSource::BlockSource(Pattern pattern, double theta, std::uint64_t blocks, std::uint64_t seed)
    : pattern_(pattern),
      blocks_(blocks),
      random_(seed),
      order_(blocks, random_.next()),
      ranks_(blocks, pattern == Pattern::zipf ? theta : 1) {}

std::uint64_t BlockSource::next() {
  if (pattern_ == Pattern::zipf) {
    const std::uint64_t rank = ranks_.next(random_);
    return order_(std::min(rank, blocks_) - 1);  // a double cannot tell the largest counts apart
  }
  if (pattern_ == Pattern::random) return next_random();
  const std::uint64_t block = cursor_;
  cursor_ = cursor_ + 1 < blocks_ ? cursor_ + 1 : 0;
  return block;
}

std::uint64_t BlockSource::next_random() {
  if (cursor_ == blocks_) {
    cursor_ = 0;
    order_ = Permutation(blocks_, random_.next());
  }
  return order_(cursor_++);
}

}  // namespace nbdring
