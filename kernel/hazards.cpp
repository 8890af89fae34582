#include "kernel/hazards.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "client/runtime/error.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

constexpr KernelVersion oldest_kernel{6, 1, 0};
constexpr char reload_advice[] =
    "with no device attached: rmmod nbd; modprobe nbd nbds_max=0 max_part=16; for good: echo "
    "'options nbd nbds_max=0 "
    "max_part=16' > /etc/modprobe.d/nbd.conf";

/// What the driver is known for, from one version up to (not including) another.
struct DriverBug {
  KernelVersion since;
  KernelVersion until;
  Severity severity;
  const char* title;
  const char* advice;
};

constexpr KernelVersion not_yet{999, 0, 0};

constexpr std::array driver_bugs{
    DriverBug{{0, 0, 0},
              {6, 12, 0},
              Severity::note,
              "the driver has no WRITE_ZEROES (Linux 6.12 brings it)",
              "zeroing is sent as data; blkdiscard works"},
    DriverBug{
        {0, 0, 0},
        {6, 14, 0},
        Severity::note,
        "the driver can lose track of a request whose sending a signal cuts (fixed in Linux 6.14)",
        "nbdring makes that unlikely: large socket buffers, no elevator"},
    DriverBug{{0, 0, 0},
              {6, 14, 0},
              Severity::note,
              "reconnecting a device that is being disconnected corrupts memory (CVE-2025-21731, "
              "fixed in Linux 6.14)",
              "nbdring does one thing at a time; do not use another tool on its devices"},
    DriverBug{{6, 9, 0},
              not_yet,
              Severity::note,
              "changing the size waits for every request in flight (since Linux 6.9)",
              "resize a device with another tool only while nothing is stuck on it"},
    DriverBug{{0, 0, 0},
              not_yet,
              Severity::note,
              "a connection can stay without its receiver when the machine is very busy at attach",
              "nbdring counts the receivers and connects again"},
    DriverBug{{0, 0, 0},
              not_yet,
              Severity::note,
              "what was in flight on a connection that ends is sent again only by its timer",
              "after a crash it takes up to attach's --timeout; upgrade and resize end no "
              "connection"},
};

Finding judge_kernel(const HazardFacts& facts) {
  const std::string name = "kernel " + facts.kernel.release;
  if (facts.kernel.version >= oldest_kernel) return {Severity::ok, name, ""};
  return {Severity::blocker, name + " is older than Linux " + oldest_kernel.text(),
          "boot a newer kernel"};
}

Finding judge_driver(const HazardFacts& facts) {
  if (facts.driver_present) return {Severity::ok, "the nbd driver is there", ""};
  if (facts.driver_loadable) {
    return {Severity::ok, "the nbd driver can be loaded", "attach does it"};
  }
  return {Severity::blocker, "this kernel has no nbd driver",
          driver_missing_text(facts.kernel, "no file nbd.ko")};
}

void judge_parameters(const HazardFacts& facts, std::vector<Finding>& findings) {
  if (facts.max_part == 0) {
    findings.push_back(
        {Severity::warning, "the driver was loaded with max_part=0: no partitions", reload_advice});
  }
  if (facts.nbds_max.value_or(0) > 0) {
    findings.push_back(
        {Severity::note,
         "the driver keeps " + std::to_string(*facts.nbds_max) +
             " devices at hand (nbds_max), which udev probes and which keep settings "
             "of former exports",
         reload_advice});
  }
}

void judge_bugs(const HazardFacts& facts, std::vector<Finding>& findings) {
  for (const DriverBug& bug : driver_bugs) {
    if (facts.kernel.version < bug.since || facts.kernel.version >= bug.until) continue;
    findings.push_back({bug.severity, bug.title, bug.advice});
  }
  if (facts.selinux_enforces && facts.kernel.version < KernelVersion{6, 18, 0}) {
    findings.push_back({Severity::warning,
                        "SELinux: I/O of a confined process can end a connection (\"Send control "
                        "failed (result -13)\" in dmesg; fixed in Linux 6.18)",
                        "allow such domains to write to nbdring's socket"});
  }
}

void judge_udev(const HazardFacts& facts, std::vector<Finding>& findings) {
  if (!facts.udev_runs) {
    findings.push_back({Severity::note, "udev does not run", "no links in /dev/disk for devices"});
  } else if (facts.udev_watches) {
    findings.push_back({Severity::note, "udev reads a device again whenever a writer closes it",
                        "harmless; to spare it, a rule: KERNEL==\"nbd*\", OPTIONS:=\"nowatch\""});
  }
}

void judge_surroundings(const HazardFacts& facts, std::vector<Finding>& findings) {
  findings.push_back(
      facts.may_administrate
          ? Finding{Severity::ok, "this user may attach", ""}
          : Finding{Severity::blocker, "attaching needs root (CAP_SYS_ADMIN)", "run as root"});
  if (!facts.dev_is_kept) {
    findings.push_back({Severity::warning,
                        "/dev is not a devtmpfs (a container?): nodes do not appear by themselves",
                        "attach on the host, or mknod /dev/nbdN"});
  }
  if (!facts.kernel_threads_visible) {
    findings.push_back({Severity::note, "kernel threads cannot be seen (a container?)",
                        "attach cannot count the driver's receivers here"});
  }
  constexpr std::uint64_t enough = 64ULL << 20;
  if (facts.memlock && *facts.memlock < enough && !facts.may_administrate) {
    findings.push_back({Severity::note,
                        "RLIMIT_MEMLOCK is " + std::to_string(*facts.memlock / 1024) + " KiB",
                        "buffers may not be registered with io_uring; raise it (ulimit -l)"});
  }
}

// A devtmpfs is a tmpfs to statfs(2); only the table of mounts knows.
bool is_devtmpfs(const std::string& root) {
  std::ifstream table(root + "/proc/self/mountinfo");
  std::string row;
  while (std::getline(table, row)) {
    if (row.find(" /dev ") != std::string::npos && row.find(" - devtmpfs ") != std::string::npos) {
      return true;
    }
  }
  return false;
}

bool file_has(const std::string& path, const char* word) {
  std::ifstream file(path);
  std::string row;
  while (std::getline(file, row)) {
    if (row.find(word) != std::string::npos) return true;
  }
  return false;
}

bool module_file_exists(const std::string& root, const std::string& release) {
  const std::string folder = root + "/lib/modules/" + release;
  return file_has(folder + "/modules.dep", "/nbd.ko") ||
         file_has(folder + "/modules.builtin", "/nbd.ko");
}

bool spared_by_udev(const std::string& root) {
  for (const char* folder : {"/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d"}) {
    std::error_code none;
    for (const auto& rules : std::filesystem::directory_iterator(root + folder, none)) {
      std::ifstream file(rules.path());
      std::string row;
      while (std::getline(file, row)) {
        const bool ours = row.rfind('#', 0) != 0 && row.find("nbd") != std::string::npos;
        if (ours && row.find("nowatch") != std::string::npos) return true;
      }
    }
  }
  return false;
}

std::optional<std::uint64_t> memlock_limit() {
  rlimit limit{};
  ENSURE(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
  if (limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return limit.rlim_cur;
}

}  // namespace

HazardFacts collect_hazard_facts(const std::string& root) {
  const Sysfs sysfs(root);
  HazardFacts facts;
  facts.kernel = running_kernel();
  facts.may_administrate = may_administrate();
  facts.driver_present = driver_present(sysfs);
  facts.driver_loadable = module_file_exists(root, facts.kernel.release);
  facts.max_part = sysfs.module_parameter("max_part");
  facts.nbds_max = sysfs.module_parameter("nbds_max");
  facts.dev_is_kept = is_devtmpfs(root);
  facts.udev_runs = ::access((root + "/run/udev/control").c_str(), F_OK) == 0;
  facts.udev_watches = !spared_by_udev(root);
  facts.selinux_enforces = sysfs.line("/sys/fs/selinux/enforce") == "1";
  facts.kernel_threads_visible = sysfs.line("/proc/2/comm") == "kthreadd";
  facts.memlock = memlock_limit();
  return facts;
}

std::vector<Finding> judge(const HazardFacts& facts) {
  std::vector<Finding> findings{judge_kernel(facts), judge_driver(facts)};
  judge_parameters(facts, findings);
  judge_surroundings(facts, findings);
  judge_udev(facts, findings);
  judge_bugs(facts, findings);
  return findings;
}

}  // namespace nbdring
