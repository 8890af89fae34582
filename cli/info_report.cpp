#include "cli/info_report.hpp"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/report.hpp"
#include "cli/table.hpp"
#include "client/protocol/handshake_text.hpp"

namespace nbdring {
namespace {

using Listed = ClientHandshake::Listed;

constexpr std::size_t shown_max = 4096;  // bytes of a name: all of it

std::string line(const char* what, const std::string& value) {
  const std::string label(what);
  return label + std::string(13 - label.size(), ' ') + value + "\n";
}

std::string size_text(std::uint64_t size) {
  return std::to_string(size) + " bytes (" + bytes_text(size) + ")";
}

std::string payload_text(std::uint32_t maximum) {
  return maximum == UINT32_MAX ? "unlimited" : bytes_text(maximum);
}

std::string block_size_text(const Listed& listed) {
  const auto& sizes = listed.about.block_size;
  return "minimum " + std::to_string(sizes.minimum) + ", preferred " +
         std::to_string(sizes.preferred) + ", maximum " + payload_text(sizes.maximum) +
         (listed.tells_block_size ? "" : " (defaults: the server tells none)");
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
  return text.empty() ? "none" : text;
}

const char* replies_text(const TransmissionOptions& transmission) {
  if (transmission.extended_headers) return "structured, with extended headers";
  return transmission.structured_replies ? "structured" : "simple";
}

std::string tls_text(const std::optional<TlsReport>& tls) {
  if (!tls) return "none: not encrypted";
  return tls->version + ", " + tls->cipher + ", " + tls->exchange +
         (tls->peer.empty() ? "" : ", " + printable(tls->peer, shown_max));
}

std::string connection_text(const InfoReport& report) {
  if (!report.is_remote) return "";
  std::string text = line("replies", replies_text(report.transmission));
  if (!report.is_list) {
    text += line("contexts", report.transmission.base_allocation ? nbd::base_allocation : "none");
  }
  return text + line("tls", tls_text(report.tls));
}

std::string one_export(const Listed& listed) {
  std::string text = line("export", "'" + printable(listed.name, shown_max) + "'");
  if (!listed.description.empty()) {
    text += line("description", printable(listed.description, shown_max));
  }
  text += line("size", size_text(listed.about.size));
  text += line("block size", block_size_text(listed));
  return text + line("flags", joined(flag_words(listed.about)));
}

std::string all_exports(const std::vector<Listed>& exports) {
  Table table({"EXPORT", "SIZE", "FLAGS", "DESCRIPTION"}, {false, true, false, false});
  for (const auto& listed : exports) {
    table.add({"'" + printable(listed.name, shown_max) + "'",
               listed.is_known ? bytes_text(listed.about.size) : "-",
               listed.is_known ? joined(flag_words(listed.about)) : "-",
               printable(listed.description, shown_max)});
  }
  return exports.empty() ? "no exports\n" : table.text();
}

nlohmann::ordered_json export_json(const Listed& listed) {
  nlohmann::ordered_json json;
  json["name"] = listed.name;
  json["description"] = listed.description;
  if (!listed.is_known) {
    for (const char* key : {"size", "read_only", "flags", "block_size"}) json[key] = nullptr;
    return json;
  }
  json["size"] = listed.about.size;
  json["read_only"] = listed.about.is_read_only();
  json["flags"] = flag_words(listed.about);
  const auto& sizes = listed.about.block_size;
  json["block_size"] = {{"minimum", sizes.minimum},
                        {"preferred", sizes.preferred},
                        {"maximum", sizes.maximum},
                        {"told", listed.tells_block_size}};
  return json;
}

}  // namespace

std::vector<std::string> flag_words(const Export& about) {
  constexpr std::array<std::pair<std::uint16_t, const char*>, 12> words{
      {{nbd::flag_read_only, "read-only"},
       {nbd::flag_send_flush, "flush"},
       {nbd::flag_send_fua, "fua"},
       {nbd::flag_rotational, "rotational"},
       {nbd::flag_send_trim, "trim"},
       {nbd::flag_send_write_zeroes, "write-zeroes"},
       {nbd::flag_send_fast_zero, "fast-zero"},
       {nbd::flag_send_df, "df"},
       {nbd::flag_can_multi_conn, "multi-conn"},
       {nbd::flag_send_resize, "resize"},
       {nbd::flag_send_cache, "cache"},
       {nbd::flag_block_status_payload, "block-status-payload"}}};
  std::vector<std::string> said;
  for (const auto& [flag, word] : words) {
    if (about.has(flag)) said.emplace_back(word);
  }
  return said;
}

std::string info_text(const InfoReport& report) {
  if (report.is_list) return all_exports(report.exports) + connection_text(report);
  return one_export(report.exports.at(0)) + connection_text(report);
}

std::string info_names(const InfoReport& report) {
  std::string text;
  for (const auto& listed : report.exports) text += printable(listed.name, shown_max) + "\n";
  return text;
}

std::string info_json(const InfoReport& report) {
  nlohmann::ordered_json json;
  json["backend"] = report.backend;
  json["structured_replies"] = nullptr;
  json["extended_headers"] = nullptr;
  json["base_allocation"] = nullptr;
  json["tls"] = nullptr;
  if (report.is_remote) {
    json["structured_replies"] = report.transmission.structured_replies;
    json["extended_headers"] = report.transmission.extended_headers;
    if (!report.is_list) json["base_allocation"] = report.transmission.base_allocation;
  }
  if (report.tls) {
    json["tls"] = {{"version", report.tls->version},
                   {"cipher", report.tls->cipher},
                   {"exchange", report.tls->exchange},
                   {"peer", report.tls->peer}};
  }
  json["exports"] = nlohmann::ordered_json::array();
  for (const auto& listed : report.exports) json["exports"].push_back(export_json(listed));
  // Names are bytes: what is not UTF-8 is replaced, for JSON has no other words.
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace nbdring
