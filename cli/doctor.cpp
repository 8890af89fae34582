// nbdring doctor: what stands in the way of attaching on this machine, and what to do.

#include "cli/doctor.hpp"

#include <algorithm>
#include <sstream>
#include <utility>

#include "cli/commands.hpp"
#include "cli/installed.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/loop.hpp"

namespace nbdring {
namespace {

constexpr std::size_t columns = 80;
constexpr std::size_t margin = 9;  // the severity stands there
static_assert(margin < columns / 2);

const char* name_of(Severity severity) {
  switch (severity) {
    case Severity::ok:
      return "ok";
    case Severity::note:
      return "note";
    case Severity::warning:
      return "warning";
    case Severity::blocker:
      return "BLOCKER";
  }
  ENSURE(!"every severity has a name");
  return "";
}

// Broken between words; a word that is longer than a line stands alone.
void append_wrapped(std::string& text, std::string line, const std::string& words) {
  std::istringstream stream(words);
  bool is_first = true;
  for (std::string word; stream >> word;) {
    if (!is_first && line.size() + 1 + word.size() > columns) {
      text += line + "\n";
      line = std::string(margin, ' ');
      is_first = true;
    }
    line += (is_first ? "" : " ") + word;
    is_first = false;
  }
  text += line + "\n";
}

std::string left_margin(const std::string& label) {
  ENSURE(label.size() < margin);
  return label + std::string(margin - label.size(), ' ');
}

// The one sure way to know whether a ring can be made is to make one.
Finding try_ring() {
  try {
    const Loop loop;
    return {Severity::ok, "io_uring can be used", ""};
  } catch (const Failure& failure) {
    return {Severity::blocker, failure.what(), ""};
  }
}

}  // namespace

bool has_blocker(const std::vector<Finding>& findings) {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& finding) { return finding.severity == Severity::blocker; });
}

std::string findings_text(const std::vector<Finding>& findings, bool all) {
  std::string text;
  for (const Finding& finding : findings) {
    if (finding.severity == Severity::ok && !all) continue;
    append_wrapped(text, left_margin(name_of(finding.severity)), finding.title);
    if (!finding.advice.empty()) append_wrapped(text, left_margin(""), finding.advice);
  }
  if (!text.empty()) text += "\n";
  return text + (has_blocker(findings) ? "Nothing can be attached here: see BLOCKER above.\n"
                                       : "Nothing stands in the way of attaching.\n");
}

int run_doctor(const DoctorCommand&, const CommonOptions& common) {
  std::vector<Finding> findings = judge(collect_hazard_facts());
  findings.push_back(try_ring());
  for (Finding& finding : installed_findings()) findings.push_back(std::move(finding));
  print(findings_text(findings, common.verbose));
  return has_blocker(findings) ? static_cast<int>(FailureKind::cannot_attach) : 0;
}

}  // namespace nbdring
