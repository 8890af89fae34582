#pragma once
// The canonical text of a backend: the same bytes have the same text, however the user wrote it. It
// is what a device is known by where no --id is given, so it goes to the driver, to JSON and to
// terminals: plain ASCII.

#include <string>
#include <vector>

#include "backends/layers/layer.hpp"
#include "client/protocol/backend_spec.hpp"

namespace nbdring {

/// "file:/srv/disk.img?offset=512", links resolved; "memory:1048576". How it is accessed (cache,
/// read-only) is no part.
std::string canonical_text(const BackendSpec& spec);

/// With what stands in front of it: "file:/srv/disk.img --layer readonly --layer offset=512".
/// Layers as they were written.
std::string canonical_text(const BackendSpec& spec, const std::vector<LayerSpec>& layers);

/// The default identity: the canonical text; for memory and null with the process behind it, as
/// each is another one.
std::string default_id(const BackendSpec& spec, int pid, const std::vector<LayerSpec>& layers = {});

}  // namespace nbdring
