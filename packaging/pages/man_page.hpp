#pragma once
// A man page, in man(7)'s macros, made of a text of --help.

#include <string>

#include "packaging/pages/help_reader.hpp"

namespace nbdring {

struct ManPage {
  std::string name;                   // "nbdring-attach"
  std::string purpose;                // of NAME's line
  Help help;                          // of the command
  std::vector<HelpPart> common;       // behind it, as EXIT STATUS
  std::vector<std::string> see_also;  // "nbdring(1)"
};

/// date: YYYY-MM-DD.
std::string man_text(const ManPage& page, const std::string& version, const std::string& date);

}  // namespace nbdring
