#pragma once
// What of this machine's kernel, driver and settings stands in the way of a device, and what to do:
// for `nbdring doctor`.
//
// Collecting the facts and judging them are two steps, so that every judgement has a unit test.
// Whether io_uring can be used is not asked here: the caller makes a Loop. Sources of the driver's
// bugs: nbd.c's history, kernel/receivers.hpp.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernel/module.hpp"

namespace nbdring {

enum class Severity { ok, note, warning, blocker };

struct Finding {
  Severity severity = Severity::ok;
  std::string title;  // what is the case
  std::string
      advice;  // what to do, or what nbdring does about it; empty where there is nothing to do
};

struct HazardFacts {
  RunningKernel kernel;
  bool may_administrate = false;
  bool driver_present = false;
  bool driver_loadable = false;           // the module's file is there
  std::optional<std::uint64_t> max_part;  // of the loaded module
  std::optional<std::uint64_t> nbds_max;
  bool dev_is_kept = false;  // /dev is a devtmpfs: nodes come by themselves
  bool udev_runs = false;
  bool udev_watches = true;  // no rule spares nbd devices
  bool selinux_enforces = false;
  bool kernel_threads_visible = true;    // not in a container with processes of its own
  std::optional<std::uint64_t> memlock;  // bytes of RLIMIT_MEMLOCK; none: unlimited
};

HazardFacts collect_hazard_facts(const std::string& root = "");

/// In the order of asking; a check that went well is a Finding as well (ok).
std::vector<Finding> judge(const HazardFacts& facts);

}  // namespace nbdring
