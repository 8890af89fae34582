#pragma once
// What neither an argument nor an option says is filled in from the configuration file.

#include "cli/config.hpp"
#include "cli/options.hpp"

namespace nbdring {

/// With the TLS of a remote backend.
AttachCommand with_defaults(AttachCommand given, const BackendForm& backend, const Config& config);

/// Only for a backend with TLS: defaults turn it neither on nor off. psk-file and certificates are
/// alternatives, so either in the URI or the options keeps the file's from being used.
TlsOptions with_defaults(TlsOptions given, const BackendForm& backend, const TlsDefaults& defaults);

}  // namespace nbdring
