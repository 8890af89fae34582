#include "client/engine/copy_flaw.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace nbdring {
namespace {

#ifdef __x86_64__

constexpr std::size_t page = 4096;
constexpr std::size_t bytes = 2 * page;
constexpr std::size_t usual_offset = 2048;  // into the page: any that is far from the source's
constexpr std::size_t bad_offset = 16;
constexpr int tries = 24;    // the fastest counts: whatever interrupts a copy makes it slower
constexpr int too_slow = 4;  // times as long

std::chrono::nanoseconds time_of_copy(std::byte* to, const std::byte* from) noexcept {
  auto fastest = std::chrono::nanoseconds::max();
  for (int i = 0; i < tries; ++i) {
    std::byte* destination = to;
    const std::byte* source = from;
    std::size_t count = bytes;
    const auto begin = std::chrono::steady_clock::now();
    asm volatile("rep movsb" : "+D"(destination), "+S"(source), "+c"(count) : : "memory");
    const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - begin;
    fastest = std::min(fastest, took);
  }
  return fastest;
}

bool measure() noexcept {
  alignas(page) std::byte memory[2 * bytes + page]{};
  std::byte* const to = memory + bytes;
  const auto usual = time_of_copy(to + usual_offset, memory);
  return time_of_copy(to + bad_offset, memory) > too_slow * usual;
}

#else

bool measure() noexcept { return false; }

#endif

}  // namespace

bool copies_badly() noexcept {
  static const bool does = measure();
  return does;
}

}  // namespace nbdring
