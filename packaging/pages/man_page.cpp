#include "packaging/pages/man_page.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace nbdring {
namespace {

constexpr std::size_t columns = 78;

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

// A '-' is a minus: what is copied from the page must work in a shell.
std::string escaped(const std::string& text) {
  std::string roff;
  for (const char c : text) {
    switch (c) {
      case '\\':
        roff += "\\e";
        break;
      case '-':
        roff += "\\-";
        break;
      case '\'':
        roff += "\\(aq";
        break;
      case '`':
        roff += "\\(ga";
        break;
      case '^':
        roff += "\\(ha";
        break;
      case '~':
        roff += "\\(ti";
        break;
      default:
        roff += c;
    }
  }
  return roff;
}

// Lines of a length that people can read; a full stop at the beginning of one would be a macro.
std::string wrapped(const std::string& roff) {
  std::istringstream words(roff);
  std::string text;
  std::string line;
  for (std::string word; words >> word;) {
    if (!line.empty() && line.size() + 1 + word.size() > columns) {
      text += line + "\n";
      line.clear();
    }
    if (line.empty() && word.front() == '.') word = "\\&" + word;
    line += (line.empty() ? "" : " ") + word;
  }
  return text + line;
}

// `Words` are what is typed.
std::string with_code(const std::string& text) {
  std::string roff;
  bool is_code = false;
  std::size_t start = 0;
  while (start <= text.size()) {
    const std::size_t end = std::min(text.find('`', start), text.size());
    const std::string piece = escaped(text.substr(start, end - start));
    roff += is_code ? "\\fB" + piece + "\\fR" : piece;
    is_code = !is_code;
    start = end + 1;
  }
  return wrapped(roff);
}

// The names of options are bold, and what stands for a value is italic.
std::string term_text(const std::string& term) {
  std::string roff;
  if (!term.starts_with("-")) {
    // A long one may be broken in front of a part that can be left out.
    for (const char c : escaped(term)) roff += c == '[' ? "\\:[" : std::string(1, c);
    return "\\fB" + roff + "\\fR";
  }
  std::size_t start = 0;
  while (start < term.size()) {
    const std::size_t end = std::min(term.find(' ', start), term.size());
    std::string word = term.substr(start, end - start);
    const bool has_comma = word.ends_with(",");
    if (has_comma) word.pop_back();
    roff += (roff.empty() ? "" : " ") + std::string(word.starts_with("-") ? "\\fB" : "\\fI") +
            escaped(word) + "\\fR" + (has_comma ? "," : "");
    start = end + 1;
  }
  return roff;
}

std::string without_colon(std::string heading) {
  if (heading.ends_with(":")) heading.pop_back();
  return heading;
}

std::string part_text(const HelpPart& part) {
  std::string roff;
  switch (part.kind) {
    case HelpPart::Kind::text:
      return ".PP\n" + with_code(part.text) + "\n";
    case HelpPart::Kind::list:
      for (const HelpEntry& entry : part.entries) {
        roff += ".TP\n" + term_text(entry.term) + "\n" + with_code(entry.meaning) + "\n";
      }
      return roff;
    case HelpPart::Kind::verbatim:
      break;
  }
  roff = ".PP\n.nf\n";
  for (const std::string& line : part.lines) roff += escaped(line) + "\n";  // indented: no macro
  return roff + ".fi\n";
}

bool is_of_options(const HelpPart& part) {
  return part.kind == HelpPart::Kind::list && !part.entries.empty() &&
         part.entries.front().term.starts_with("-");
}

std::string description(const Help& help) {
  std::string roff = ".SH DESCRIPTION\n";
  bool is_first = true;
  for (const HelpPart& part : help.parts) {
    if (is_of_options(part) || part.kind == HelpPart::Kind::verbatim) continue;
    std::string text = part_text(part);
    if (!part.heading.empty()) text = ".PP\n" + with_code(part.heading) + "\n" + text;
    if (is_first && text.starts_with(".PP\n")) text.erase(0, 4);
    is_first = false;
    roff += text;
  }
  return roff;
}

std::string options(const Help& help) {
  std::string roff;
  for (const HelpPart& part : help.parts) {
    if (!is_of_options(part)) continue;
    if (part.heading != "Options:") roff += ".SS " + escaped(without_colon(part.heading)) + "\n";
    // Under a heading of its own, no list may look like a part of the one before it.
    if (part.heading == "Options:" && !roff.empty()) roff += ".SS Others\n";
    roff += part_text(part);
  }
  return roff.empty() ? "" : ".SH OPTIONS\n" + roff;
}

std::string verbatim(const std::vector<HelpPart>& parts, const std::string& heading,
                     const std::string& section) {
  for (const HelpPart& part : parts) {
    if (part.heading != heading) continue;
    const std::string text = part_text(part);
    return ".SH " + section + "\n" + text.substr(text.find('\n') + 1);
  }
  return "";
}

}  // namespace

std::string man_text(const ManPage& page, const std::string& version, const std::string& date) {
  std::string roff =
      ".TH " + upper(page.name) + " 1 " + date + " \"nbdring " + version + "\"\n.nh\n.ad l\n";
  roff += ".SH NAME\n" + escaped(page.name) + " \\- " + escaped(page.purpose) + "\n";
  roff += ".SH SYNOPSIS\n.nf\n";
  for (const std::string& line : page.help.synopsis) roff += "\\fB" + escaped(line) + "\\fR\n";
  roff += ".fi\n" + description(page.help) + options(page.help);
  roff += verbatim(page.common, "Exit codes:", "EXIT STATUS");
  roff += verbatim(page.help.parts, "Examples:", "EXAMPLES");
  roff += ".SH SEE ALSO\n";
  for (const std::string& other : page.see_also) {
    const std::size_t bracket = other.find('(');
    roff += ".BR " + escaped(other.substr(0, bracket)) + " " + other.substr(bracket) +
            (&other == &page.see_also.back() ? "\n" : " ,\n");
  }
  return roff;
}

}  // namespace nbdring
