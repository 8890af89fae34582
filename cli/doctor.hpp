#pragma once
// How findings are shown: a pure function, for its test.

#include <string>
#include <vector>

#include "kernel/hazards.hpp"

namespace nbdring {

/// At most 80 columns; what is fine only where all is wanted. The last line is the verdict.
std::string findings_text(const std::vector<Finding>& findings, bool all);

bool has_blocker(const std::vector<Finding>& findings);

}  // namespace nbdring
