#pragma once
// What a gateway, or a proxy, is configured to do: from the configuration file's [gateway]
// (config_gateway.cpp), from jsnbd's config.json (config_jsnbd.cpp), with the command line on top.
//
//     [gateway]
//     listen = ["0.0.0.0:8443", "[::]:8443"]
//     tls-certificates = "/etc/nbdring/pki"      # server-cert.pem, server-key.pem; ca-cert.pem
//     tls-psk-file = "/etc/nbdring/keys.psk"
//     tls-verify-peer = true                     # a certificate of each peer without a PSK
//     insecure = false                           # true: anybody who can reach it
//     tokens = "/var/lib/nbdring/tokens"
//     origins = ["https://intranet.example"]     # other sites' pages that may come
//     state-dir = "/etc/nbdring/state.d"
//     hook-timeout = 30                          # seconds, 1 to 3600
//     [gateway.configurations.cd]
//     path = "/vm/0/0/"                          # or paths = [...]; default: "/cd"
//     device = "/dev/nbd0"                       # default: "auto", a free one
//     socket = "/run/nbdring/cd.sock"            # instead of a device: an NBD server there
//     read-only = true
//     size-min = 1                               # bytes
//     size-max = 1099511627776
//     connections = 4                            # 1 to 16
//     timeout = 30                               # seconds without progress of a request, 1 to 3600
//     grace = 60                                 # seconds that I/O waits for a peer, 1 to 86400
//     default = true
//     layers = ["readahead", "cache=/var/cache/cd"]
//     users = ["alice", "CN=bob"]                # of TLS: these need no token
//     metadata = { description = "Virtual CD" }  # for who asks: --metadata, the page
//
// Constant once made.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backends/layers/layer.hpp"
#include "cli/values.hpp"

namespace nbdring {

struct GatewayConfiguration {
  std::string name;
  std::vector<std::string> paths;      // of its websockets
  std::optional<std::uint32_t> index;  // of /dev/nbdN; none: a free one
  std::string socket;                  // instead of a device; empty: a device
  bool read_only = false;
  std::uint64_t size_min = 0;             // bytes
  std::optional<std::uint64_t> size_max;  // bytes; none: no limit
  std::optional<unsigned> connections;    // none: by the processors
  std::chrono::seconds timeout{30};
  std::chrono::seconds grace{60};
  bool is_default = false;
  std::string metadata = "null";  // JSON
  std::vector<LayerSpec> layers;
  std::vector<std::string> users;
};

struct GatewaySettings {
  std::vector<TcpEndpoint> listen;
  std::string tls_certificates;
  std::string tls_psk_file;
  bool tls_verify_peer = false;
  bool insecure = false;
  std::optional<std::string> tokens;
  std::vector<std::string> origins;
  std::string state_dir = "/etc/nbdring/state.d";
  std::chrono::seconds hook_timeout{30};
  std::vector<GatewayConfiguration> configurations;
};

/// What holds for all of them together: names and paths are there once, at most one is the default,
/// and the only one is. Failure (usage) "WHERE: ...".
void settle_configurations(std::vector<GatewayConfiguration>& configurations,
                           const std::string& where);

/// By name, or the default one where the name is empty; null: there is none.
const GatewayConfiguration* find_configuration(
    const std::vector<GatewayConfiguration>& configurations, const std::string& name);

/// 1 to 64 letters, digits, '.', '_', '-'; it stands in paths, in tokens and in hooks' arguments.
bool is_configuration_name(std::string_view name);

}  // namespace nbdring
