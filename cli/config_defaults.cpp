#include "cli/config_defaults.hpp"

#include <utility>

namespace nbdring {
namespace {

Uri uri_of(const BackendForm& backend) {
  const auto* remote = std::get_if<UriSpec>(&backend);
  return remote == nullptr ? Uri() : remote->uri;
}

bool has_tls(const Uri& uri, const TlsOptions& options) {
  const bool demanded =
      uri.scheme == "nbds" || uri.scheme.starts_with("nbds+") || uri.scheme == "wss";
  return demanded || options.policy.value_or(TlsPolicy::off) != TlsPolicy::off;
}

}  // namespace

TlsOptions with_defaults(TlsOptions given, const BackendForm& backend,
                         const TlsDefaults& defaults) {
  const Uri uri = uri_of(backend);
  if (!has_tls(uri, given)) return given;
  const bool has_keys = given.psk_file || given.certificates || given.has_single_files() ||
                        uri.parameter("tls-psk-file") || uri.parameter("tls-certificates");
  const auto type = uri.parameter("tls-type");
  if (!has_keys && type != "x509") given.psk_file = defaults.psk_file;
  if (!has_keys && type != "psk") given.certificates = defaults.certificates;
  if (!given.priority && !uri.parameter("tls-priority")) given.priority = defaults.priority;
  return given;
}

AttachCommand with_defaults(AttachCommand given, const BackendForm& backend, const Config& config) {
  const AttachDefaults& defaults = config.attach;
  if (!given.connections) given.connections = defaults.connections;
  if (!given.timeout) given.timeout = defaults.timeout;
  if (!given.recovery_window) given.recovery_window = defaults.recovery_window;
  given.tls = with_defaults(std::move(given.tls), backend, config.tls);
  return given;
}

}  // namespace nbdring
