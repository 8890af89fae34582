#pragma once
// What an NBD server sends during the handshake, for tests: each function returns the bytes of one
// message or of a part of one. Goes with handshake_messages.hpp.

#include <cstdint>
#include <string_view>

#include "tests/client/protocol/handshake_messages.hpp"

namespace nbdring {

inline Bytes greeting(std::uint16_t flags = nbd::flag_fixed_newstyle | nbd::flag_no_zeroes) {
  Bytes bytes;
  append_struct(bytes, nbd::Greeting{nbd::init_passwd, nbd::ihaveopt, flags});
  return bytes;
}

inline Bytes reply_header(std::uint32_t number, std::uint32_t type, std::uint32_t length) {
  Bytes bytes;
  append_struct(bytes, nbd::OptionReplyHeader{nbd::option_reply_magic, number, type, length});
  return bytes;
}

inline Bytes reply(std::uint32_t number, std::uint32_t type, const Bytes& data = {}) {
  return reply_header(number, type, static_cast<std::uint32_t>(data.size())) + data;
}

inline Bytes export_info(std::uint64_t size, std::uint16_t flags) {
  Bytes bytes;
  append_struct(bytes, nbd::InfoExport{nbd::info_export, size, flags});
  return bytes;
}

inline Bytes block_size_info(std::uint32_t minimum, std::uint32_t preferred,
                             std::uint32_t maximum) {
  Bytes bytes;
  append_struct(bytes, nbd::InfoBlockSize{nbd::info_block_size, minimum, preferred, maximum});
  return bytes;
}

inline Bytes text_info(std::uint16_t type, std::string_view value) {
  Bytes bytes;
  append_struct(bytes, Be16(type));
  append_text(bytes, value);
  return bytes;
}

inline Bytes context(std::uint32_t id, std::string_view name) {
  Bytes bytes;
  append_struct(bytes, Be32(id));
  append_text(bytes, name);
  return bytes;
}

/// A server's answers to EXTENDED_HEADERS and STRUCTURED_REPLY: it has neither.
inline Bytes no_structured() {
  return reply(nbd::opt_extended_headers, nbd::rep_err_unsup) +
         reply(nbd::opt_structured_reply, nbd::rep_err_unsup);
}

inline constexpr std::uint16_t plain_flags = nbd::flag_has_flags | nbd::flag_send_flush;

inline Bytes told_size(std::uint32_t number = nbd::opt_go) {
  return reply(number, nbd::rep_info, export_info(1 << 20, plain_flags));
}

}  // namespace nbdring
