#pragma once
// What an NBD client sends during the handshake, for tests: each function returns the bytes of one
// message or of a part of one. The export is called "disk".

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "client/protocol/bytes.hpp"
#include "client/protocol/export.hpp"
#include "client/protocol/nbd.hpp"
#include "tests/support/server_side.hpp"

namespace nbdring {

inline Export disk() {
  Export about;
  about.name = "disk";
  about.description = "a disk";
  about.size = 1 << 20;
  about.transmission_flags = nbd::flag_has_flags | nbd::flag_send_flush;
  about.block_size = {512, 4096, 65536};
  return about;
}

inline Bytes client_flags(std::uint32_t flags = nbd::known_client_flags) {
  Bytes bytes;
  append_struct(bytes, Be32(flags));
  return bytes;
}

inline Bytes option(std::uint32_t number, const Bytes& data = {}) {
  Bytes bytes;
  append_struct(bytes,
                nbd::OptionHeader{nbd::ihaveopt, number, static_cast<std::uint32_t>(data.size())});
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

inline Bytes text(std::string_view value) {
  Bytes bytes;
  append_text(bytes, value);
  return bytes;
}

inline Bytes counted(std::string_view value) {
  Bytes bytes;
  append_struct(bytes, Be32(static_cast<std::uint32_t>(value.size())));
  append_text(bytes, value);
  return bytes;
}

inline Bytes info_data(std::string_view name, const std::vector<std::uint16_t>& types = {}) {
  Bytes bytes = counted(name);
  append_struct(bytes, Be16(static_cast<std::uint16_t>(types.size())));
  for (const std::uint16_t type : types) append_struct(bytes, Be16(type));
  return bytes;
}

inline Bytes meta_data(std::string_view name, const std::vector<std::string>& queries) {
  Bytes bytes = counted(name);
  append_struct(bytes, Be32(static_cast<std::uint32_t>(queries.size())));
  for (const auto& query : queries) bytes = bytes + counted(query);
  return bytes;
}

inline Bytes option_header(std::uint32_t number, std::uint32_t length) {
  Bytes bytes;
  append_struct(bytes, nbd::OptionHeader{nbd::ihaveopt, number, length});
  return bytes;
}

}  // namespace nbdring
