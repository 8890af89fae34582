#include "cli/nbd_client_device.hpp"

#include <algorithm>

#include "client/protocol/uri.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

bool has_tls(const NbdClientDevice& device) {
  return device.wants_tls || !device.certfile.empty() || !device.keyfile.empty() ||
         !device.cacertfile.empty() || !device.tls_hostname.empty();
}

// An IPv6 address may stand in brackets.
std::string bare_host(const std::string& host) {
  const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  return is_bracketed ? host.substr(1, host.size() - 2) : host;
}

std::string uri_of(const NbdClientDevice& device) {
  Uri uri;
  uri.scheme = has_tls(device) ? "nbds" : "nbd";
  uri.has_authority = true;
  uri.path = "/" + device.export_name;
  if (device.is_unix) {
    uri.scheme += "+unix";
    uri.parameters.emplace_back("socket", device.host);
  } else {
    uri.host = bare_host(device.host);
    uri.port = device.port;
  }
  return to_text(uri);
}

// There the driver gave a request up after that time, and it failed. Our engine does: the driver
// is told more, for a connection that it shoots is only made anew.
std::optional<std::chrono::seconds> window_of(const NbdClientDevice& device) {
  if (!device.timeout || device.timeout->count() == 0) return std::nullopt;
  return std::min(*device.timeout, std::chrono::seconds(seconds_max));
}

}  // namespace

AttachCommand attach_command(const NbdClientDevice& device) {
  AttachCommand command;
  command.backend = uri_of(device);
  command.index = device.index;
  if (device.connections) {
    command.connections = std::min(*device.connections, static_cast<unsigned>(connections_max));
  }
  command.block_size = device.block_size;
  command.recovery_window = window_of(device);
  command.read_only = device.read_only;
  if (device.size) {
    command.layers = parse_layers({"offset=0,size=" + std::to_string(*device.size)});
  }
  if (!device.tls_hostname.empty()) command.tls.hostname = device.tls_hostname;
  command.tls.authorities_file = device.cacertfile;
  command.tls.certificate_file = device.certfile;
  command.tls.key_file = device.keyfile;
  return command;
}

}  // namespace nbdring
