#pragma once
// What the package brings beside the program, for doctor: a program that was only built has none of
// it. Looks for names, reads nothing. root stands for "/", so that a test has its own.

#include <string>
#include <vector>

#include "kernel/hazards.hpp"

namespace nbdring {

/// The generator of /etc/nbdring/tab, and the udev rule: ok, or a note each.
std::vector<Finding> installed_findings(const std::string& root = "");

}  // namespace nbdring
