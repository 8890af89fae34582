#pragma once
// A text of --help, taken apart: what the man pages and the completions are made of, so that all
// three say the same.
//
// The form of those texts (cli/help*.cpp): paragraphs, divided by empty lines. "Usage:" begins the
// synopsis, "Examples:" and "Exit codes:" what is shown as it is. Indented lines are a list; its
// terms stand at column 2, options without a short form at column 6, and what they mean in a column
// of their own, the same for the whole list.

#include <string>
#include <vector>

namespace nbdring {

/// A line of a list: "-c, --connections N" and what it means.
struct HelpEntry {
  std::string term;
  std::string meaning;
};

struct HelpPart {
  enum class Kind { text, list, verbatim };

  Kind kind = Kind::text;
  std::string heading;             // of a list or of what is shown as it is; empty: none
  std::string text;                // of a text
  std::vector<HelpEntry> entries;  // of a list
  std::vector<std::string> lines;  // of what is shown as it is
};

struct Help {
  std::vector<std::string> synopsis;  // a command line each
  std::vector<HelpPart> parts;        // the rest, in its order; the first says what it is for
};

Help read_help(const std::string& text);

/// What an entry of a list of options says: its names and the placeholder of its value.
struct HelpOption {
  std::vector<std::string> names;  // "-c", "--connections"
  std::string value;               // "N"; empty: takes none
  std::string meaning;
};

/// Every option in the lists, in their order.
std::vector<HelpOption> options_in(const Help& help);

/// The commands that the program's text lists, in its order.
std::vector<HelpEntry> commands_in(const Help& help);

}  // namespace nbdring
