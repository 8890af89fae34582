#include "cli/nbd_client_device.hpp"

#include "client/protocol/uri.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

bool wants_tls(const NbdClientDevice& device) {
  return !device.certfile.empty() || !device.keyfile.empty() || !device.cacertfile.empty() ||
         !device.tls_hostname.empty();
}

std::string uri_of(const NbdClientDevice& device) {
  Uri uri;
  uri.scheme = wants_tls(device) ? "nbds" : "nbd";
  uri.has_authority = true;
  uri.path = "/" + device.export_name;
  if (device.is_unix) {
    uri.scheme += "+unix";
    uri.parameters.emplace_back("socket", device.host);
  } else {
    uri.host = device.host;
    uri.port = device.port;
  }
  return to_text(uri);
}

}  // namespace

AttachCommand attach_command(const NbdClientDevice& device) {
  if (!device.certfile.empty() || !device.keyfile.empty() || !device.cacertfile.empty()) {
    throw Failure(FailureKind::usage,
                  "certfile, keyfile and cacertfile are single files; put them into a folder as "
                  "client-cert.pem, client-key.pem and ca-cert.pem and give tls-certificates=DIR");
  }
  AttachCommand command;
  command.backend = uri_of(device);
  command.index = device.index;
  command.connections = device.connections;
  command.block_size = device.block_size;
  command.timeout = device.timeout;
  command.read_only = device.read_only;
  if (!device.tls_hostname.empty()) command.tls.hostname = device.tls_hostname;
  return command;
}

}  // namespace nbdring
