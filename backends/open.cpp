#include "backends/open.hpp"

#include <algorithm>
#include <random>

#include "backends/file.hpp"
#include "backends/layers/readonly.hpp"
#include "backends/memory.hpp"
#include "backends/nbd/backend.hpp"
#include "backends/null.hpp"
#include "backends/websocket/endpoint.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::milliseconds shortest_deadline{2'000};

RemoteOptions remote_options(const OpenOptions& options, std::string endpoint) {
  RemoteOptions remote;
  remote.read_only = options.read_only;
  remote.lanes = options.lanes;
  remote.recovery_window = options.recovery_window;
  remote.io_flusher = options.io_flusher;
  remote.keepsakes = options.keepsakes;
  remote.after_crash = options.after_crash;
  remote.endpoint = std::move(endpoint);
  remote.jitter_seed = std::random_device()();
  // A server that answers nothing is noticed within the window.
  if (remote.recovery_window) {
    auto& deadline = remote.connection.request_deadline;
    deadline = std::clamp(*remote.recovery_window, shortest_deadline, deadline);
  }
  return remote;
}

Past past_of(const OpenOptions& options) { return {options.keepsakes, options.after_crash}; }

struct Opener {
  const OpenOptions& options;
  Log& log;

  std::unique_ptr<Backend> operator()(FileSpec spec) const {
    spec.read_only = spec.read_only || options.read_only;
    return std::make_unique<FileBackend>(spec, log, options.lock_wait);
  }
  std::unique_ptr<Backend> operator()(const MemorySpec& spec) const {
    return std::make_unique<MemoryBackend>(spec.size, options.read_only, past_of(options));
  }
  std::unique_ptr<Backend> operator()(const NullSpec& spec) const {
    return std::make_unique<NullBackend>(spec.size, options.read_only);
  }
  std::unique_ptr<Backend> operator()(const UriSpec& spec) const { return open_remote(spec); }
  std::unique_ptr<Backend> operator()(const ExecSpec& spec) const { return open_remote(spec); }

  std::unique_ptr<Backend> open_remote(const BackendForm& form) const {
    auto dialer = make_dialer(form, options.tls, log);
    const RemoteOptions remote = remote_options(options, dialer->endpoint().text());
    return std::make_unique<NbdBackend>(std::move(dialer), remote, log);
  }
};

}  // namespace

bool can_go_away(const BackendForm& form) {
  return std::holds_alternative<UriSpec>(form) || std::holds_alternative<ExecSpec>(form);
}

std::unique_ptr<Dialer> make_dialer(const BackendForm& form, const TlsOptions& options, Log& log) {
  const TlsSettings tls = tls_settings_of(form, options);
  const auto* remote = std::get_if<UriSpec>(&form);
  const bool is_websocket =
      remote != nullptr && (remote->uri.scheme == "ws" || remote->uri.scheme == "wss");
  if (!is_websocket) return std::make_unique<Dialer>(form, tls, DialOptions(), log);
  // TLS is below the websocket; NBD within it has none of its own.
  std::string name(remote->uri.parameter("export").value_or(""));
  return std::make_unique<Dialer>(make_websocket_endpoint(remote->uri, tls, log), to_text(form),
                                  std::move(name), TlsSettings(), DialOptions(), log);
}

std::unique_ptr<Backend> open_backend(const BackendSpec& spec, const OpenOptions& options,
                                      Log& log) {
  // What is below a cow is never written: it may be without write permission, and others' base too.
  OpenOptions below = options;
  for (const LayerSpec& layer : options.layers) below.read_only |= layer.name == "cow";
  LayerOptions layers;
  layers.past = past_of(options);
  layers.lock_wait = options.lock_wait;
  auto backend = add_layers(std::visit(Opener{below, log}, spec.form), options.layers, log, layers);
  // A layer may have made it writable again.
  if (options.read_only && !backend->about().is_read_only()) return read_only(std::move(backend));
  return backend;
}

}  // namespace nbdring
