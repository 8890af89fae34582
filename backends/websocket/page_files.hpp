#pragma once
// The bytes that static_files.cmake puts into the program. For static_files.cpp.

#include <span>
#include <string_view>

namespace nbdring {

struct PageFile {
  std::string_view path;  // "/page.css"
  std::string_view bytes;
};

std::span<const PageFile> page_files();

}  // namespace nbdring
