#pragma once
// The page: the files of backends/websocket/page, part of the program. CMake puts them in
// (backends/websocket/static_files.cmake) and builds the program anew when one of them changes.

#include <span>
#include <string>
#include <string_view>

namespace nbdring {

struct StaticFile {
  std::string_view path;  // in URLs: "/page.css"; the page itself is "/"
  std::string_view type;  // for Content-Type
  std::string_view bytes;
  std::string etag;  // with its quotes: of these bytes and no others
};

/// Null: there is no such file. Any thread.
const StaticFile* find_static_file(std::string_view path);

std::span<const StaticFile> static_files();

}  // namespace nbdring
