#pragma once
// How `nbdring info` shows exports: lines for people, a table for a list, JSON for scripts (its
// keys stay). Pure functions.

#include <optional>
#include <string>
#include <vector>

#include "client/protocol/handshake_client.hpp"
#include "client/transport/tls.hpp"

namespace nbdring {

struct InfoReport {
  std::string backend;  // canonical text
  bool is_remote = false;
  bool is_list = false;
  std::vector<ClientHandshake::Listed> exports;
  // of a remote one
  TransmissionOptions transmission;  // base_allocation: not asked for a list
  std::optional<TlsReport> tls;      // none: not encrypted
};

std::string info_text(const InfoReport& report);
std::string info_json(const InfoReport& report);

/// The names alone, a line each.
std::string info_names(const InfoReport& report);

/// "read-only", "flush", …: HAS_FLAGS says nothing.
std::vector<std::string> flag_words(const Export& about);

}  // namespace nbdring
