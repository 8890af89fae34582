#include "backends/websocket/client_target.hpp"

#include <algorithm>
#include <array>

namespace nbdring {
namespace {

constexpr std::uint32_t http_port = 80;
constexpr std::uint32_t https_port = 443;

bool is_ours(std::string_view name) {
  return name == "export" || name == "token-file" || name.starts_with("tls-");
}

}  // namespace

ClientTarget client_target_of(const Uri& uri) {
  ClientTarget client;
  const std::uint32_t usual_port = uri.scheme == "wss" ? https_port : http_port;
  client.server.scheme = "nbd";
  client.server.has_authority = true;
  client.server.host = uri.host;
  client.server.port = uri.port.value_or(usual_port);
  client.token_file = uri.parameter("token-file").value_or("");

  Uri shown = uri;
  shown.user.reset();  // of a PSK; nothing to HTTP
  if (shown.port == usual_port) shown.port.reset();
  std::erase_if(shown.parameters, [](const auto& pair) { return is_ours(pair.first); });
  client.text = to_text(shown);
  shown.host = shown.host.substr(0, shown.host.find('%'));
  const std::string text = to_text(shown);
  const std::size_t begin = shown.scheme.size() + std::string_view("://").size();
  const std::size_t end = std::min(text.find_first_of("/?", begin), text.size());
  client.authority = text.substr(begin, end - begin);
  client.target = text.substr(end);
  if (!client.target.starts_with('/')) client.target.insert(0, "/");
  return client;
}

}  // namespace nbdring
