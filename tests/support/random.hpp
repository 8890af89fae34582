#pragma once
// Random numbers that are the same for a seed with every compiler and library: what a simulation
// replays. (The standard's engines are portable, its distributions are not.)

#include <cstddef>
#include <cstdint>

#include "client/runtime/error.hpp"

namespace nbdring {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  /// splitmix64
  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15;
    return mix(state_);
  }
  /// 0 to bound - 1
  std::uint64_t below(std::uint64_t bound) {
    ENSURE(bound > 0);
    return next() % bound;
  }
  std::uint64_t between(std::uint64_t first, std::uint64_t last) {
    ENSURE(first <= last);
    return first + below(last - first + 1);
  }
  bool percent(unsigned chance) { return below(100) < chance; }
  template <typename Container>
  const auto& pick(const Container& choices) {
    return choices[below(choices.size())];
  }

  static constexpr std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }

 private:
  std::uint64_t state_;
};

}  // namespace nbdring
