#pragma once
// Fields of an option's data and of an option reply's: both handshakes read them off the front of
// what the peer sent, and get nothing where it is too short.

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "client/protocol/bytes.hpp"

namespace nbdring {

inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The bytes of a struct, to be sent as part of a text. The struct outlives the result.
template <WireStruct T>
std::string_view as_text(const T& value) {
  return text_of(std::as_bytes(std::span(&value, 1)));
}

class FieldReader {
 public:
  explicit FieldReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <WireStruct T>
  std::optional<T> take() {
    if (bytes_.size() < sizeof(T)) return std::nullopt;
    const T value = read_struct<T>(bytes_);
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }

  std::optional<std::string_view> take_text() {  // 32 bits of length, then the bytes
    const auto length = take<Be32>();
    if (!length || *length > bytes_.size()) return std::nullopt;
    const auto text = bytes_.first(*length);
    bytes_ = bytes_.subspan(*length);
    return text_of(text);
  }

  std::string_view rest() const { return text_of(bytes_); }
  bool is_empty() const { return bytes_.empty(); }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace nbdring
