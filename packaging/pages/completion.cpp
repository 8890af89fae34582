#include "packaging/pages/completion.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace nbdring {
namespace {

// What a value is completed to, by the word that stands for it in the help.
enum class Source { words, files, folders, devices, nothing };

struct Value {
  Source source = Source::nothing;
  std::string words;  // of Source::words
};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

Value value_of(const HelpOption& option, const std::vector<std::string>& layers) {
  using Words = std::pair<const char*, const char*>;
  constexpr std::array<Words, 5> fixed{{{"--tls", "off allow require"},
                                        {"--log-format", "text json"},
                                        {"--block-size", "512 1024 2048 4096"},
                                        {"--path", "auto engine"},
                                        {"--tls-verify-peer", "0 1"}}};
  if (option.value.empty()) return {};
  const std::string& name = option.names.back();
  for (const auto& [known, words] : fixed) {
    if (name == known) return {Source::words, words};
  }
  if (name == "--layer") return {Source::words, joined(layers)};
  if (option.value == "FILE" || option.value == "PATH") return {Source::files, ""};
  if (option.value == "DIR") return {Source::folders, ""};
  return {};
}

// What stands behind the command: the first placeholder of its synopsis.
Value argument_of(const CommandHelp& command) {
  if (command.name == "token") return {Source::words, "create list revoke"};
  for (const std::string& line : command.help.synopsis) {
    if (line.find("BACKEND") != std::string::npos) return {Source::files, ""};
    if (line.find("DEVICE") != std::string::npos) return {Source::devices, ""};
  }
  return {};
}

std::string all_names(const CommandHelp& command) {
  std::vector<std::string> names{"-h", "--help"};
  for (const HelpOption& option : options_in(command.help)) {
    for (const std::string& name : option.names) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return joined(names);
}

std::string bash_words(const Value& value) {
  switch (value.source) {
    case Source::words:
      return "COMPREPLY=($(compgen -W '" + value.words + "' -- \"$cur\"))";
    case Source::files:
      return "_nbdring_paths f";
    case Source::folders:
      return "_nbdring_paths d";
    case Source::devices:
      return "COMPREPLY=($(compgen -W \"$(_nbdring_devices)\" -- \"$cur\"))";
    case Source::nothing:
      return "COMPREPLY=()";
  }
  return "";
}

// Options that take the same values share a branch.
std::string bash_values(const CommandHelp& command, const std::vector<std::string>& layers) {
  std::string branches;
  for (const HelpOption& option : options_in(command.help)) {
    if (option.value.empty()) continue;
    std::string pattern;
    for (const std::string& name : option.names) pattern += (pattern.empty() ? "" : " | ") + name;
    branches +=
        "        " + pattern + ") " + bash_words(value_of(option, layers)) + "; return ;;\n";
  }
  return branches;
}

constexpr const char* bash_head =
    R"sh(# Completion of nbdring for bash. Made of nbdring's own --help.

_nbdring_paths() {
  local IFS=$'\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen -"$1" -- "$cur"))
}

# The devices and names of `nbdring list`, which only root may see.
_nbdring_devices() {
  nbdring list --json 2>/dev/null | sed -n -E 's/^ *"(device|name)": *"([^"]+)",?$/\2/p'
}

_nbdring() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' word i
  COMPREPLY=()
  # "--option=value" comes in three words.
  if [[ $cur == '=' ]]; then
    cur=''
  elif [[ $prev == '=' ]]; then
    prev=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $word != -* ]]; then command=$word; break; fi
  done
  case $command in
)sh";

constexpr const char* zsh_head = R"sh(#compdef nbdring
# Completion of nbdring for zsh. Made of nbdring's own --help.

# The devices and names of `nbdring list`, which only root may see.
_nbdring_devices() {
  local -a found
  found=(${(f)"$(nbdring list --json 2>/dev/null |
    sed -n -E 's/^ *"(device|name)": *"([^"]+)",?$/\2/p')"})
  compadd -a found
}

_nbdring() {
  local curcontext=$curcontext state line
  _arguments -C '(- *)'{-h,--help}'[show help]' '(- *)--version[print the version]' \
    '1:command:->command' '*::argument:->argument'
  if [[ $state == command ]]; then
    local -a commands
    commands=(
)sh";

// One line, and nothing that zsh would take for syntax.
std::string zsh_quoted(std::string text) {
  text = text.substr(0, std::min(text.find("; "), text.find(" (")));
  std::string safe;
  for (const char c : text) {
    if (c == '\'') {
      safe += "'\\''";
    } else if (c == '[' || c == ']' || c == ':' || c == '\\') {
      safe += std::string("\\") + c;
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string zsh_words(const Value& value) {
  switch (value.source) {
    case Source::words:
      return "(" + value.words + ")";
    case Source::files:
      return "_files";
    case Source::folders:
      return "_files -/";
    case Source::devices:
      return "_nbdring_devices";
    case Source::nothing:
      break;
  }
  return " ";
}

std::string zsh_option(const HelpOption& option, const std::vector<std::string>& layers) {
  const bool repeats = option.names.back() == "--layer";
  std::string text;
  for (const std::string& name : option.names) {
    text += std::string("        '") + (repeats ? "*" : "") + name + "[" +
            zsh_quoted(option.meaning) + "]";
    if (!option.value.empty()) {
      text += ":" + zsh_quoted(option.value) + ":" + zsh_words(value_of(option, layers));
    }
    text += "' \\\n";
  }
  return text;
}

}  // namespace

std::string bash_completion(const std::vector<CommandHelp>& commands,
                            const std::vector<std::string>& layers) {
  std::string script = bash_head;
  std::vector<std::string> names;
  for (const CommandHelp& command : commands) {
    if (!command.name.empty()) names.push_back(command.name);
    script += "    " + (command.name.empty() ? std::string("''") : command.name) + ")\n";
    const std::string values = bash_values(command, layers);
    if (!values.empty()) script += "      case $prev in\n" + values + "      esac\n";
    script += "      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '" + all_names(command) +
              "' -- \"$cur\")); return; fi\n";
    const Value argument =
        command.name.empty() ? Value{Source::words, "@commands@"} : argument_of(command);
    script += "      " + bash_words(argument) + " ;;\n";
  }
  script += "  esac\n}\ncomplete -F _nbdring nbdring\n";
  constexpr std::string_view place = "@commands@";
  return script.replace(script.find(place), place.size(), joined(names));
}

std::string zsh_completion(const std::vector<CommandHelp>& commands,
                           const std::vector<std::string>& layers) {
  std::string script = zsh_head;
  for (const CommandHelp& command : commands) {
    if (command.name.empty()) continue;
    script += "      '" + command.name + ":" + zsh_quoted(command.purpose) + "'\n";
  }
  script += "    )\n    _describe command commands\n    return\n  fi\n  case $line[1] in\n";
  for (const CommandHelp& command : commands) {
    if (command.name.empty()) continue;
    script += "    " + command.name + ")\n      _arguments \\\n";
    script += "        '(- *)'{-h,--help}'[show help]' \\\n";
    for (const HelpOption& option : options_in(command.help)) script += zsh_option(option, layers);
    const std::string source = zsh_words(argument_of(command));
    script += "        '*:argument:" + source + "' ;;\n";
  }
  return script + "  esac\n}\n\n_nbdring \"$@\"\n";
}

}  // namespace nbdring
