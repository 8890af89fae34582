#pragma once
// Which block is next: the part of a load that decides what is measured.
//
//   sequential   0, 1, 2, ... and from the start again
//   random       every block once, in an order without order, then every block once in another one.
//                So nothing is hit twice before everything was hit once, and a pass covers all.
//   zipf         the block of rank r with a probability proportional to 1 / r^theta. Ranks are
//                scattered over the range: what is hot does not lie side by side.
//
// One source per lane, used by its thread. A number costs some ten nanoseconds and no memory,
// however many blocks there are. The same seed gives the same blocks with every compiler.

#include <cstdint>

#include "cli/bench/point.hpp"

namespace nbdring {

/// splitmix64 (Steele, Lea, Flood 2014): the standard's distributions differ between libraries.
class BenchRandom {
 public:
  explicit BenchRandom(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15); }
  /// 0 <= number < 1
  double fraction() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  static constexpr std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }

 private:
  std::uint64_t state_;
};

/// 0 to count - 1 in an order that the key chooses. A Feistel network over the next power of two;
/// what falls outside goes through again.
class Permutation {
 public:
  Permutation(std::uint64_t count, std::uint64_t key);
  std::uint64_t operator()(std::uint64_t index) const;

 private:
  std::uint64_t round_trip(std::uint64_t value) const;

  std::uint64_t count_;
  std::uint64_t key_;
  unsigned low_bits_;
  unsigned high_bits_;
};

/// Ranks 1 to count, by rejection-inversion (Hörmann, Derflinger: Rejection-inversion to generate
/// variates from monotone discrete distributions, 1996): exact, for any theta above 0.
class ZipfRanks {
 public:
  ZipfRanks(std::uint64_t count, double theta);
  std::uint64_t next(BenchRandom& random) const;

 private:
  double height(double x) const;
  double area(double x) const;
  double area_inverse(double area) const;

  double count_;
  double theta_;
  double area_first_;
  double area_last_;
  double sure_;  // so close above its inverse a rank needs no second look
};

class BlockSource {
 public:
  /// blocks: more than 0.
  BlockSource(Pattern pattern, double theta, std::uint64_t blocks, std::uint64_t seed);
  std::uint64_t next();

 private:
  std::uint64_t next_random();

  Pattern pattern_;
  std::uint64_t blocks_;
  std::uint64_t cursor_ = 0;
  BenchRandom random_;
  Permutation order_;
  ZipfRanks ranks_;
};

}  // namespace nbdring
