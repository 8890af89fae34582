#include "cli/bench/point.hpp"

#include <array>
#include <cstddef>

namespace nbdring {

const char* name_of(Pattern pattern) {
  constexpr std::array<const char*, 3> names{"sequential", "random", "zipf"};
  return names[static_cast<std::size_t>(pattern)];
}

}  // namespace nbdring
