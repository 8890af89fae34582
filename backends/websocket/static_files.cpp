#include "backends/websocket/static_files.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "backends/websocket/page_files.hpp"
#include "client/transport/tls_digest.hpp"

namespace nbdring {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> types{{
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".webmanifest", "application/manifest+json"},
}};

std::string_view type_of(std::string_view path) {
  for (const auto& [ending, type] : types) {
    if (path.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

std::vector<StaticFile> make_files() {
  std::vector<StaticFile> files;
  for (const PageFile& file : page_files()) {
    const std::string_view path = file.path == "/index.html" ? "/" : file.path;
    files.push_back({path, type_of(file.path), file.bytes, '"' + sha1_base64(file.bytes) + '"'});
  }
  return files;
}

}  // namespace

std::span<const StaticFile> static_files() {
  static const std::vector<StaticFile> files = make_files();
  return files;
}

const StaticFile* find_static_file(std::string_view path) {
  const auto files = static_files();
  const auto found = std::find_if(files.begin(), files.end(),
                                  [path](const StaticFile& file) { return file.path == path; });
  return found == files.end() ? nullptr : &*found;
}

}  // namespace nbdring
