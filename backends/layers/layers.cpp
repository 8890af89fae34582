// The table of layers: a line each.

#include <algorithm>

#include "backends/layers/blocksize.hpp"
#include "backends/layers/cache.hpp"
#include "backends/layers/cow.hpp"
#include "backends/layers/delay.hpp"
#include "backends/layers/error.hpp"
#include "backends/layers/layer.hpp"
#include "backends/layers/layers_argument.hpp"
#include "backends/layers/log.hpp"
#include "backends/layers/offset.hpp"
#include "backends/layers/partition.hpp"
#include "backends/layers/rate.hpp"
#include "backends/layers/readahead.hpp"
#include "backends/layers/readonly.hpp"
#include "backends/layers/tar.hpp"

namespace nbdring {
namespace {

struct LayerKind {
  std::string_view name;
  std::string_view form;  // how it is written, for the messages
  LayerMaker make;
};

constexpr std::size_t layers_max = 16;

constexpr LayerKind kinds[] = {
    {"readonly", "readonly", make_readonly_layer},
    {"offset", "offset=BYTES[,size=BYTES]", make_offset_layer},
    {"partition", "partition=N", make_partition_layer},
    {"tar", "tar=MEMBER", make_tar_layer},
    {"blocksize", "blocksize=BYTES", make_blocksize_layer},
    {"rate", "rate=BYTES[/s]", make_rate_layer},
    {"delay", "delay=MS or delay=read:MS,write:MS,flush:MS,trim:MS,zero:MS,extents:MS",
     make_delay_layer},
    {"error", "error=ERRNO[:RATE%][:COMMAND][:file=PATH]", make_error_layer},
    {"log", "log=PATH", make_log_layer},
    {"cow", "cow[=PATH]", make_cow_layer},
    {"cache", "cache[=PATH][,size=BYTES][,mode=writethrough]", make_cache_layer},
    {"readahead", "readahead[=BYTES]", make_readahead_layer},
};

const LayerKind* kind_of(std::string_view name) {
  const auto* kind = std::find_if(std::begin(kinds), std::end(kinds),
                                  [name](const LayerKind& one) { return one.name == name; });
  return kind == std::end(kinds) ? nullptr : kind;
}

std::string names() {
  std::string names;
  for (const LayerKind& kind : kinds) {
    names.append(names.empty() ? "" : ", ").append(kind.name);
  }
  return names;
}

}  // namespace

LayerSpec parse_layer(std::string_view text) {
  const std::size_t equals = text.find('=');
  LayerSpec layer;
  layer.name = std::string(text.substr(0, equals));
  if (kind_of(layer.name) == nullptr) {
    throw Failure(FailureKind::usage,
                  "--layer: '" + layer.name + "' is not a layer; say one of " + names());
  }
  if (equals != std::string_view::npos) layer.argument = std::string(text.substr(equals + 1));
  return layer;
}

std::vector<LayerSpec> parse_layers(const std::vector<std::string>& texts) {
  if (texts.size() > layers_max) {
    throw Failure(FailureKind::usage,
                  "--layer: more than " + std::to_string(layers_max) + " of them; leave some out");
  }
  std::vector<LayerSpec> layers;
  for (const std::string& text : texts) layers.push_back(parse_layer(text));
  return layers;
}

std::unique_ptr<Backend> add_layers(std::unique_ptr<Backend> below,
                                    const std::vector<LayerSpec>& layers, Log& log,
                                    const LayerOptions& options) {
  for (std::size_t number = layers.size(); number-- > 0;) {
    const LayerSpec& layer = layers[number];
    const LayerKind* kind = kind_of(layer.name);
    ENSURE(kind != nullptr);
    const LayerArgument argument(layer, kind->form, number, options);
    below = kind->make(std::move(below), argument, log);
  }
  return below;
}

}  // namespace nbdring
