#pragma once
// What TLS a remote export gets: the URI's scheme and parameters and the command's options, made
// one (interface.md, "TLS parameters"). An option can raise nbd:// to TLS, never lower nbds://;
// two sources that say different things are the user's mistake, and so are keys for a connection
// that has no TLS.

#include <optional>
#include <string>

#include "client/protocol/backend_spec.hpp"
#include "client/transport/tls.hpp"

namespace nbdring {

/// --tls and its kin, as far as they were given.
struct TlsOptions {
  std::optional<TlsPolicy> policy;
  std::optional<std::string> psk_file;
  std::optional<std::string> certificates;
  std::optional<std::string> hostname;
  std::optional<std::string> priority;
  std::optional<bool> verify_peer;
  // nbd-client's, each a file of its own instead of the folder; not given: empty.
  std::string authorities_file;
  std::string certificate_file;
  std::string key_file;

  bool has_single_files() const {
    return !authorities_file.empty() || !certificate_file.empty() || !key_file.empty();
  }
};

/// For a UriSpec or an ExecSpec. Nothing is opened. Throws Failure (usage).
TlsSettings tls_settings_of(const BackendForm& form, const TlsOptions& options);

}  // namespace nbdring
