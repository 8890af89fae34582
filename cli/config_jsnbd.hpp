#pragma once
// jsnbd's config.json, read as it is:
//
//     { "timeout": 30,
//       "configurations": {
//         "0": { "nbd-device": "/dev/nbd0", "default": true, "metadata": { ... } } } }
//
// Only "configurations" and each "nbd-device" must be there. Ours on top: "socket" instead of the
// device (an NBD server there), "read-only" and "grace" (seconds).

#include <string>
#include <string_view>
#include <vector>

#include "cli/gateway_settings.hpp"

namespace nbdring {

/// `file` is for messages. Throws Failure (usage): what is no such file, two defaults. Keys that
/// nobody knows go to the warnings.
std::vector<GatewayConfiguration> parse_jsnbd_config(std::string_view text, const std::string& file,
                                                     std::vector<std::string>& warnings);

/// Of a file of at most 1 MiB. Throws as above, and Failure (failed) for what cannot be read.
std::vector<GatewayConfiguration> read_jsnbd_config(const std::string& path,
                                                    std::vector<std::string>& warnings);

/// What `nbd-proxy --metadata` prints, to the byte: one line `{ "0": { "key": "value" }, "1": null
/// }` without the newline.
std::string metadata_line(const std::vector<GatewayConfiguration>& configurations);

}  // namespace nbdring
