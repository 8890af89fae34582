#include "cli/identity.hpp"

#include <array>
#include <cstdio>
#include <filesystem>
#include <variant>

namespace nbdring {
namespace {

std::string absolute(const std::string& path) {
  std::error_code error;
  const auto resolved = std::filesystem::weakly_canonical(path, error);
  return error ? path : resolved.string();
}

// As in a URI's path; a space stays, for people.
std::string encoded(const std::string& path) {
  std::string text;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '%' || c == '?' || c == '#') {
      std::array<char, 4> escape{};
      std::snprintf(escape.data(), escape.size(), "%%%02X", byte);
      text += escape.data();
    } else {
      text += c;
    }
  }
  return text;
}

struct Canonical {
  std::string operator()(const FileSpec& file) const {
    std::string text = "file:" + encoded(absolute(file.path));
    char separator = '?';
    if (file.offset != 0) {
      text += separator + ("offset=" + std::to_string(file.offset));
      separator = '&';
    }
    if (file.size) text += separator + ("size=" + std::to_string(*file.size));
    return text;
  }
  std::string operator()(const MemorySpec& memory) const {
    return "memory:" + std::to_string(memory.size);
  }
  std::string operator()(const NullSpec& null) const { return "null:" + std::to_string(null.size); }
  std::string operator()(const UriSpec& uri) const { return to_text(uri.uri); }
  std::string operator()(const ExecSpec& exec) const { return "exec:" + encoded(exec.command); }
};

std::string text_of(const std::vector<LayerSpec>& layers) {
  std::string text;
  for (const LayerSpec& layer : layers) {
    text += " --layer " + layer.name;
    if (!layer.argument.empty()) text += "=" + encoded(layer.argument);
  }
  return text;
}

}  // namespace

std::string canonical_text(const BackendSpec& spec) { return std::visit(Canonical(), spec.form); }

std::string canonical_text(const BackendSpec& spec, const std::vector<LayerSpec>& layers) {
  return canonical_text(spec) + text_of(layers);
}

std::string default_id(const BackendSpec& spec, int pid, const std::vector<LayerSpec>& layers) {
  const bool each_another =
      std::holds_alternative<MemorySpec>(spec.form) || std::holds_alternative<NullSpec>(spec.form);
  return canonical_text(spec) + (each_another ? "#" + std::to_string(pid) : "") + text_of(layers);
}

}  // namespace nbdring
