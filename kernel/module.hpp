#pragma once
// The nbd driver itself: is it there, can it be loaded, and what kernel is this.
//
// The module is loaded with nbds_max=0, max_part=16: devices are made when they are attached, so
// that udev never probes (and holds open) sixteen empty ones, and each starts with fresh queue
// limits. Uses modprobe, so /etc/modprobe.d counts.

#include <compare>
#include <cstdint>
#include <string>

#include "client/runtime/log.hpp"
#include "kernel/deadline.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {

struct KernelVersion {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned patch = 0;
  friend auto operator<=>(const KernelVersion&, const KernelVersion&) = default;
  std::string text() const;
};

/// From uname's release ("6.1.0-44-amd64") and version ("#1 SMP PREEMPT_DYNAMIC Debian 6.1.164-1
/// (2026-03-09)"): Debian keeps the patch level in the second. Zeroes where nothing can be read.
KernelVersion parse_kernel_version(const std::string& release, const std::string& version);

struct RunningKernel {
  std::string release;
  KernelVersion version;
};
RunningKernel running_kernel();

/// Loaded, or built into the kernel.
bool driver_present(const Sysfs& sysfs = Sysfs());

/// CAP_SYS_ADMIN among this process's effective capabilities. The driver also wants the initial
/// user namespace: only it knows.
bool may_administrate();

/// Loads the module where it is missing. Failure (cannot_attach) says which kernel, why, and what
/// to install.
void load_driver(Log& log, Deadline deadline);

/// What to do where modprobe said `words` about this kernel; a part of the line that the user
/// reads.
std::string driver_missing_text(const RunningKernel& kernel, const std::string& words);

}  // namespace nbdring
