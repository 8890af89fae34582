#pragma once
// From the first argument of every command to a backend that is open.

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "backends/layers/layer.hpp"
#include "backends/nbd/dial.hpp"
#include "backends/nbd/tls_settings.hpp"
#include "client/engine/backend.hpp"
#include "client/engine/keepsakes.hpp"
#include "client/protocol/backend_spec.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

struct OpenOptions {
  bool read_only = false;              // on top of what the argument itself says
  std::vector<LayerSpec> layers = {};  // in front of it, outermost first

  /// What a former engine of this device left, and where to leave it for the next one; null: what
  /// is in memory dies with this process. Outlives the backend.
  Keepsakes* keepsakes = nullptr;
  /// A former engine died with requests on their way: what it sent may still be carried out.
  bool after_crash = false;
  /// How long a file may be locked by somebody else: an engine that was killed holds it until its
  /// last write is done.
  std::chrono::milliseconds lock_wait{2000};

  // For remote backends; the others have no use for them.
  TlsOptions tls = {};  // towards the remote server, on top of what the URI says
  unsigned lanes = 1;   // how many are expected
  /// How long requests wait for a server that is away; none: for ever.
  std::optional<std::chrono::milliseconds> recovery_window = std::nullopt;
  bool io_flusher = false;  // see DeviceOptions
};

/// What holds the bytes can go away and come back: nbd: and its kin, exec:.
bool can_go_away(const BackendForm& form);

/// For what can go away: where its connections come from. Nothing is connected yet; the log
/// outlives it. Throws Failure (usage, refused).
std::unique_ptr<Dialer> make_dialer(const BackendForm& form, const TlsOptions& options, Log& log);

/// Throws Failure: the kind tells a wrong argument from a backend that is not there.
std::unique_ptr<Backend> open_backend(const BackendSpec& spec, const OpenOptions& options,
                                      Log& log);

}  // namespace nbdring
