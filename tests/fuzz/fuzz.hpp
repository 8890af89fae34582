#pragma once
// What the fuzzers share: taking values off the front of an input, and holding what must be true of
// the rest. ENSURE is the check: it says what and where, and aborts, which libFuzzer reports
// together with the input.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "client/runtime/error.hpp"

namespace nbdring {

class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size)
      : bytes_(std::as_bytes(std::span(data, size))) {}

  /// The next value, in this machine's order; what the input lacks is 0.
  template <typename T>
  T take() {
    T value{};
    const std::size_t size = bytes_.size() < sizeof value ? bytes_.size() : sizeof value;
    if (size > 0) std::memcpy(&value, bytes_.data(), size);
    bytes_ = bytes_.subspan(size);
    return value;
  }

  std::span<const std::byte> rest() const { return bytes_; }
  std::string_view rest_as_text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  std::span<const std::byte> bytes_;
};

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

}  // namespace nbdring
