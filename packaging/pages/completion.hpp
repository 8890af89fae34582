#pragma once
// Completion for bash and zsh, made of the texts of --help.

#include <string>
#include <vector>

#include "packaging/pages/help_reader.hpp"

namespace nbdring {

struct CommandHelp {
  std::string name;     // "attach"
  std::string purpose;  // one line
  Help help;
};

/// layers: what --layer takes, as "cow" or "partition=".
std::string bash_completion(const std::vector<CommandHelp>& commands,
                            const std::vector<std::string>& layers);
std::string zsh_completion(const std::vector<CommandHelp>& commands,
                           const std::vector<std::string>& layers);

}  // namespace nbdring
