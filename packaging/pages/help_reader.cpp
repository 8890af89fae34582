#include "packaging/pages/help_reader.hpp"

#include <algorithm>
#include <sstream>

namespace nbdring {
namespace {

using Lines = std::vector<std::string>;

constexpr std::size_t term_column = 2;
constexpr std::size_t long_option_column = 6;
constexpr std::size_t meaning_column_least = 20;

std::size_t indent_of(const std::string& line) {
  return std::min(line.find_first_not_of(' '), line.size());
}

std::string trimmed(const std::string& text) {
  const std::size_t end = text.find_last_not_of(' ');
  return end == std::string::npos ? "" : text.substr(indent_of(text), end + 1 - indent_of(text));
}

void append_words(std::string& text, const std::string& words) {
  if (!text.empty() && !words.empty()) text += ' ';
  text += words;
}

// Where the meanings begin: that is the commonest column behind two spaces or more.
std::size_t meaning_column(const Lines& lines) {
  std::vector<std::size_t> found(128, 0);
  for (const std::string& line : lines) {
    const std::size_t indent = indent_of(line);
    if (indent >= meaning_column_least) ++found.at(indent);
    const std::size_t gap = line.find("  ", indent);
    if (indent < meaning_column_least && gap != std::string::npos) {
      ++found.at(line.find_first_not_of(' ', gap));
    }
  }
  return static_cast<std::size_t>(std::max_element(found.begin(), found.end()) - found.begin());
}

// The term, and the beginning of what it means where that stands in the same line.
HelpEntry entry_of(const std::string& line, std::size_t column) {
  if (line.size() > column && line[column - 1] == ' ') {
    return {trimmed(line.substr(0, column)), trimmed(line.substr(column))};
  }
  const std::size_t gap = line.find("  ", indent_of(line));
  if (gap == std::string::npos) return {trimmed(line), ""};
  return {trimmed(line.substr(0, gap)), trimmed(line.substr(gap))};
}

std::vector<HelpEntry> entries_of(const Lines& lines) {
  const std::size_t column = meaning_column(lines);
  std::vector<HelpEntry> entries;
  for (const std::string& line : lines) {
    const std::size_t indent = indent_of(line);
    const bool begins = indent == term_column ||
                        (indent == long_option_column && line.compare(indent, 2, "--") == 0);
    if (begins || entries.empty()) {
      entries.push_back(entry_of(line, column));
    } else if (indent >= column) {
      append_words(entries.back().meaning, trimmed(line));
    } else {
      const HelpEntry rest = entry_of(line, column);  // a term too long for one line
      entries.back().term += rest.term;
      append_words(entries.back().meaning, rest.meaning);
    }
  }
  return entries;
}

void read_synopsis(const Lines& paragraph, Help& help) {
  for (const std::string& line : paragraph) {
    const std::size_t colon = line.starts_with("Usage:") ? line.find(':') + 1 : 0;
    help.synopsis.push_back(trimmed(line.substr(colon)));
  }
}

bool is_verbatim(const std::string& heading) {
  return heading == "Examples:" || heading == "Exit codes:";
}

// Runs of lines that are indented, and of lines that are not.
void read_paragraph(const Lines& paragraph, Help& help) {
  auto line = paragraph.begin();
  while (line != paragraph.end()) {
    const bool is_list = indent_of(*line) > 0;
    const auto end = std::find_if(line, paragraph.end(), [is_list](const std::string& other) {
      return (indent_of(other) > 0) != is_list;
    });
    const Lines run(line, end);
    line = end;
    HelpPart part;
    if (!is_list) {
      for (const std::string& words : run) append_words(part.text, trimmed(words));
      if (line != paragraph.end()) std::swap(part.heading, part.text);  // of the list behind it
      help.parts.push_back(part);
      continue;
    }
    if (!help.parts.empty() && !help.parts.back().heading.empty() &&
        run.size() < paragraph.size()) {
      part.heading = help.parts.back().heading;
      help.parts.pop_back();
    }
    part.kind = is_verbatim(part.heading) ? HelpPart::Kind::verbatim : HelpPart::Kind::list;
    if (part.kind == HelpPart::Kind::verbatim) part.lines = run;
    if (part.kind == HelpPart::Kind::list) part.entries = entries_of(run);
    help.parts.push_back(part);
  }
}

}  // namespace

Help read_help(const std::string& text) {
  Help help;
  Lines paragraph;
  const auto end_paragraph = [&help, &paragraph] {
    if (paragraph.empty()) return;
    if (paragraph.front().starts_with("Usage:")) {
      read_synopsis(paragraph, help);
    } else {
      read_paragraph(paragraph, help);
    }
    paragraph.clear();
  };
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (line.empty()) {
      end_paragraph();
    } else {
      paragraph.push_back(line);
    }
  }
  end_paragraph();
  return help;
}

std::vector<HelpOption> options_in(const Help& help) {
  std::vector<HelpOption> options;
  for (const HelpPart& part : help.parts) {
    for (const HelpEntry& entry : part.entries) {
      if (!entry.term.starts_with("-")) continue;
      HelpOption option;
      option.meaning = entry.meaning;
      std::istringstream words(entry.term);
      for (std::string word; words >> word;) {
        if (word.back() == ',') word.pop_back();
        if (word.starts_with("-")) {
          option.names.push_back(word);
        } else {
          append_words(option.value, word);
        }
      }
      options.push_back(option);
    }
  }
  return options;
}

std::vector<HelpEntry> commands_in(const Help& help) {
  for (const HelpPart& part : help.parts) {
    if (part.heading != "Commands:") continue;
    std::vector<HelpEntry> commands;
    for (const HelpEntry& entry : part.entries) {
      commands.push_back({entry.term.substr(0, entry.term.find(' ')), entry.meaning});
    }
    return commands;
  }
  return {};
}

}  // namespace nbdring
