// Writes nbdring's man pages and completions, made of its texts of --help, into a folder:
//   nbdring-pages FOLDER DATE  ->  FOLDER/nbdring.1, FOLDER/nbdring-COMMAND.1, FOLDER/nbdring
//   (bash)
//                                  and FOLDER/_nbdring (zsh)
// A tool of the build; it is not installed.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "cli/help.hpp"
#include "packaging/pages/completion.hpp"
#include "packaging/pages/man_page.hpp"

namespace nbdring {
namespace {

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

std::string page_name(const std::string& command) {
  return command.empty() ? "nbdring" : "nbdring-" + command;
}

std::vector<std::string> see_also(const std::vector<CommandHelp>& commands,
                                  const std::string& except) {
  std::vector<std::string> pages;
  for (const CommandHelp& command : commands) {
    if (command.name != except) pages.push_back(page_name(command.name) + "(1)");
  }
  for (const char* page : {"nbdring-tab(5)", "nbdring.toml(5)", "nbdring-uri(7)"}) {
    pages.emplace_back(page);
  }
  return pages;
}

// "cow[=PATH]" is "cow", "partition=N" is "partition=".
std::vector<std::string> layers_in(const Help& help) {
  std::vector<std::string> layers;
  for (const HelpPart& part : help.parts) {
    if (!part.heading.starts_with("A layer stands")) continue;
    for (const HelpEntry& entry : part.entries) {
      const std::size_t end = entry.term.find_first_of("[=");
      const bool needs_value = end != std::string::npos && entry.term[end] == '=';
      layers.push_back(entry.term.substr(0, end) + (needs_value ? "=" : ""));
    }
  }
  return layers;
}

// All that `nbdring --help` lists, and the program itself.
std::vector<CommandHelp> all_commands() {
  const Help program = read_help(help_text(""));
  std::vector<CommandHelp> commands{{"", "attach whatever holds bytes to /dev/nbdN", program}};
  for (const HelpEntry& entry : commands_in(program)) {
    commands.push_back({entry.term, entry.meaning, read_help(help_text(entry.term))});
  }
  return commands;
}

void write_all(const std::filesystem::path& folder, const std::string& date) {
  std::filesystem::create_directories(folder);
  const std::vector<CommandHelp> commands = all_commands();
  const Help& program = commands.front().help;
  std::vector<CommandHelp> pages = commands;
  pages.push_back(
      {"nbd-client", "nbdring, called as nbd-client", read_help(help_text("nbd-client"))});
  for (const CommandHelp& command : pages) {
    // nbd-client's exit codes are its own.
    const bool has_codes = command.name != "nbd-client";
    const ManPage page{page_name(command.name), command.purpose, command.help,
                       has_codes ? program.parts : std::vector<HelpPart>(),
                       see_also(pages, command.name)};
    write(folder / (page.name + ".1"), man_text(page, NBDRING_VERSION, date));
  }
  const auto layers = layers_in(program);
  write(folder / "nbdring", bash_completion(commands, layers));
  write(folder / "_nbdring", zsh_completion(commands, layers));
}

}  // namespace
}  // namespace nbdring

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: nbdring-pages FOLDER DATE\n");
    return 2;
  }
  try {
    nbdring::write_all(argv[1], argv[2]);
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "nbdring-pages: %s\n", failure.what());
    return 1;
  }
}
