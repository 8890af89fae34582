#include "client/protocol/handshake_names.hpp"

#include <array>
#include <cstdio>

#include "client/protocol/nbd.hpp"

namespace nbdring {

std::string option_name(std::uint32_t option) {
  switch (option) {
    case nbd::opt_export_name:
      return "EXPORT_NAME";
    case nbd::opt_abort:
      return "ABORT";
    case nbd::opt_list:
      return "LIST";
    case nbd::opt_starttls:
      return "STARTTLS";
    case nbd::opt_info:
      return "INFO";
    case nbd::opt_go:
      return "GO";
    case nbd::opt_structured_reply:
      return "STRUCTURED_REPLY";
    case nbd::opt_list_meta_context:
      return "LIST_META_CONTEXT";
    case nbd::opt_set_meta_context:
      return "SET_META_CONTEXT";
    case nbd::opt_extended_headers:
      return "EXTENDED_HEADERS";
    default:
      return "option " + std::to_string(option);
  }
}

std::string reply_error_name(std::uint32_t type) {
  switch (type) {
    case nbd::rep_err_unsup:
      return "ERR_UNSUP";
    case nbd::rep_err_policy:
      return "ERR_POLICY";
    case nbd::rep_err_invalid:
      return "ERR_INVALID";
    case nbd::rep_err_platform:
      return "ERR_PLATFORM";
    case nbd::rep_err_tls_reqd:
      return "ERR_TLS_REQD";
    case nbd::rep_err_unknown:
      return "ERR_UNKNOWN";
    case nbd::rep_err_shutdown:
      return "ERR_SHUTDOWN";
    case nbd::rep_err_block_size_reqd:
      return "ERR_BLOCK_SIZE_REQD";
    case nbd::rep_err_too_big:
      return "ERR_TOO_BIG";
    case nbd::rep_err_ext_header_reqd:
      return "ERR_EXT_HEADER_REQD";
    default:
      break;
  }
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "error 0x%x", static_cast<unsigned>(type));
  return text.data();
}

}  // namespace nbdring
