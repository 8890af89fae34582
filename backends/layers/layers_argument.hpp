#pragma once
// The argument of a layer, taken apart. What is wrong with it is a Failure (usage) of one line:
// which layer, which value, and how the layer is written.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backends/layers/layer.hpp"

namespace nbdring {

class LayerArgument {
 public:
  /// "size=4K" is {"size", "4K"}, "4K" is {"", "4K"}.
  struct Part {
    std::string key;
    std::string value;
  };

  /// form: how the layer is written, as the messages show it. Outlives the argument. number: its
  /// place among the device's layers.
  LayerArgument(const LayerSpec& layer, std::string_view form, std::size_t number,
                const LayerOptions& options)
      : layer_(layer), form_(form), number_(number), options_(options) {}

  const std::string& text() const { return layer_.argument; }
  bool empty() const { return layer_.argument.empty(); }
  const LayerOptions& options() const { return options_; }
  /// Of what this layer keeps for the next engine: "NAME-NUMBER-PART".
  std::string keepsake(std::string_view part) const {
    return layer_.name + "-" + std::to_string(number_) + "-" + std::string(part);
  }
  /// What stands between the separators. None where there is no argument.
  std::vector<Part> parts(char separator = ',') const;

  /// With K, M, G, T or P.
  std::uint64_t bytes(const std::string& value) const;
  std::uint64_t number(const std::string& value, std::uint64_t least, std::uint64_t most) const;
  void expect_none() const;

  /// Throws "--layer NAME=ARG: PROBLEM; write it as FORM".
  [[noreturn]] void refuse(const std::string& problem) const;
  /// Throws "--layer NAME=ARG: PROBLEM", of something that is not a matter of writing.
  [[noreturn]] void fail(FailureKind kind, const std::string& problem) const;

 private:
  LayerSpec layer_;
  std::string_view form_;
  std::size_t number_;
  LayerOptions options_;
};

/// What the table of layers.cpp holds of each.
using LayerMaker = std::unique_ptr<Backend> (*)(std::unique_ptr<Backend> below,
                                                const LayerArgument& argument, Log& log);

}  // namespace nbdring
