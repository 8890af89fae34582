#include "kernel/module.hpp"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "client/runtime/error.hpp"
#include "kernel/spawn.hpp"

namespace nbdring {
namespace {

constexpr unsigned numbers_wanted = 2;

/// How many of the three numbers the text begins with.
unsigned scan(const std::string& text, KernelVersion& version) {
  const int found =
      std::sscanf(text.c_str(), "%u.%u.%u", &version.major, &version.minor, &version.patch);
  return found < 0 ? 0 : static_cast<unsigned>(found);
}

bool is_debian(const std::string& release) {
  return release.find("-amd64") != std::string::npos || release.find("-arm64") != std::string::npos;
}

}  // namespace

std::string KernelVersion::text() const {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

KernelVersion parse_kernel_version(const std::string& release, const std::string& version) {
  KernelVersion plain;
  if (scan(release, plain) < numbers_wanted) return KernelVersion{};
  constexpr std::string_view mark = "Debian ";
  const std::size_t at = version.find(mark);
  KernelVersion exact;
  if (at == std::string::npos || scan(version.substr(at + mark.size()), exact) < numbers_wanted) {
    return plain;
  }
  // A kernel of another origin may carry the word for its compiler.
  const bool same_series = exact.major == plain.major && exact.minor == plain.minor;
  return same_series ? exact : plain;
}

RunningKernel running_kernel() {
  utsname name{};
  ENSURE(uname(&name) == 0);
  return RunningKernel{name.release, parse_kernel_version(name.release, name.version)};
}

bool driver_present(const Sysfs& sysfs) {
  return ::access((sysfs.root() + "/sys/module/nbd").c_str(), F_OK) == 0;
}

bool may_administrate() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  ENSURE(syscall(SYS_capget, &header, sets.data()) == 0);
  return (sets[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN)) != 0;
}

std::string driver_missing_text(const RunningKernel& kernel, const std::string& words) {
  std::string text =
      "kernel " + kernel.release + " has no nbd driver that can be loaded (" + words + "): ";
  if (is_debian(kernel.release)) {
    return text + "install linux-image-" + kernel.release +
           ", or the newest linux-image and reboot";
  }
  return text +
         "use a kernel with CONFIG_BLK_DEV_NBD, such as Debian's linux-image-amd64, or serve "
         "the backend with 'nbdring serve'";
}

void load_driver(Log& log, Deadline deadline) {
  if (driver_present()) return;
  if (::geteuid() != 0) {
    throw Failure(FailureKind::cannot_attach,
                  "the nbd driver is not loaded and loading it needs root: run as root, or ask for "
                  "'modprobe nbd nbds_max=0 max_part=16'");
  }
  constexpr int tries_max = 3;  // somebody else may be unloading it
  for (int tries = 1; !driver_present(); ++tries) {
    const CommandResult result =
        run_command({"modprobe", "nbd", "nbds_max=0", "max_part=16"}, deadline);
    if (result.end == CommandResult::End::timed_out) {
      throw Failure(FailureKind::cannot_attach,
                    "loading the nbd driver takes too long: try 'modprobe nbd nbds_max=0 "
                    "max_part=16' and look at dmesg");
    }
    if (!result.succeeded() || (tries == tries_max && !driver_present())) {
      throw Failure(FailureKind::cannot_attach,
                    driver_missing_text(running_kernel(), result.words()));
    }
  }
  log.debug("nbd driver loaded");
}

}  // namespace nbdring
