#include "kernel/hazards.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/kernel/fake_root.hpp"

namespace nbdring {
namespace {

HazardFacts good_machine() {
  HazardFacts facts;
  facts.kernel = {"6.12.117+deb12-amd64", {6, 12, 117}};
  facts.may_administrate = facts.driver_present = facts.driver_loadable = true;
  facts.max_part = 31;
  facts.nbds_max = 0;
  facts.dev_is_kept = facts.udev_runs = true;
  return facts;
}

std::size_t count(const HazardFacts& facts, Severity severity) {
  const auto findings = judge(facts);
  return static_cast<std::size_t>(std::count_if(
      findings.begin(), findings.end(), [&](const Finding& f) { return f.severity == severity; }));
}

bool finds(const HazardFacts& facts, Severity severity, const std::string& word) {
  const auto findings = judge(facts);
  return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
    return finding.severity == severity && finding.title.find(word) != std::string::npos;
  });
}

TEST(Hazards, AGoodMachineHasNoneThatMatter) {
  EXPECT_EQ(count(good_machine(), Severity::blocker), 0U);
  EXPECT_EQ(count(good_machine(), Severity::warning), 0U);
  EXPECT_GE(count(good_machine(), Severity::ok), 3U);
}

TEST(Hazards, AnOldKernelBlocks) {
  HazardFacts facts = good_machine();
  facts.kernel = {"5.10.0-9-amd64", {5, 10, 70}};
  EXPECT_TRUE(finds(facts, Severity::blocker, "older than Linux 6.1"));
}

TEST(Hazards, AMissingDriverBlocksUnlessItCanBeLoaded) {
  HazardFacts facts = good_machine();
  facts.driver_present = false;
  EXPECT_EQ(count(facts, Severity::blocker), 0U);
  facts.driver_loadable = false;
  EXPECT_TRUE(finds(facts, Severity::blocker, "no nbd driver"));
}

TEST(Hazards, AUserWithoutRightsBlocks) {
  HazardFacts facts = good_machine();
  facts.may_administrate = false;
  EXPECT_TRUE(finds(facts, Severity::blocker, "CAP_SYS_ADMIN"));
}

TEST(Hazards, ModuleParametersAreJudgedWhenLoaded) {
  HazardFacts facts = good_machine();
  facts.max_part = 0;
  facts.nbds_max = 16;
  EXPECT_TRUE(finds(facts, Severity::warning, "max_part=0"));
  EXPECT_TRUE(finds(facts, Severity::note, "16 devices"));
  facts.max_part = facts.nbds_max = std::nullopt;
  EXPECT_FALSE(finds(facts, Severity::warning, "max_part=0"));
}

TEST(Hazards, DriverBugsGoByVersion) {
  HazardFacts facts = good_machine();
  EXPECT_FALSE(finds(facts, Severity::note, "no WRITE_ZEROES"));
  EXPECT_TRUE(finds(facts, Severity::note, "since Linux 6.9"));
  facts.kernel.version = {6, 1, 176};
  EXPECT_TRUE(finds(facts, Severity::note, "no WRITE_ZEROES"));
  EXPECT_FALSE(finds(facts, Severity::note, "since Linux 6.9"));
  facts.kernel.version = {6, 14, 0};
  EXPECT_FALSE(finds(facts, Severity::note, "CVE-2025-21731"));
  EXPECT_TRUE(finds(facts, Severity::note, "only by its timer"));
}

TEST(Hazards, SurroundingsAreJudged) {
  HazardFacts facts = good_machine();
  facts.dev_is_kept = facts.udev_runs = facts.kernel_threads_visible = false;
  EXPECT_TRUE(finds(facts, Severity::warning, "devtmpfs"));
  EXPECT_TRUE(finds(facts, Severity::note, "udev does not run"));
  EXPECT_TRUE(finds(facts, Severity::note, "kernel threads"));
}

TEST(Hazards, SelinuxMattersWhileItIsEnforcedAndNotFixed) {
  HazardFacts facts = good_machine();
  EXPECT_FALSE(finds(facts, Severity::warning, "SELinux"));
  facts.selinux_enforces = true;
  EXPECT_TRUE(finds(facts, Severity::warning, "SELinux"));
  facts.kernel.version = {6, 18, 0};
  EXPECT_FALSE(finds(facts, Severity::warning, "SELinux"));
}

TEST(HazardFacts, AreReadFromTheMachine) {
  FakeRoot root;
  const std::string release = running_kernel().release;
  root.file("/lib/modules/" + release + "/modules.dep", "kernel/drivers/block/nbd.ko.xz:\n");
  root.file("/sys/module/nbd/parameters/nbds_max", "16\n");
  root.file("/proc/self/mountinfo", "23 1 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw\n");
  root.file("/run/udev/control", "");
  root.file("/usr/lib/udev/rules.d/60-nbd.rules", "KERNEL==\"nbd*\", OPTIONS:=\"nowatch\"\n");
  const HazardFacts facts = collect_hazard_facts(root.path());
  EXPECT_TRUE(facts.driver_present);
  EXPECT_TRUE(facts.driver_loadable);
  EXPECT_EQ(facts.nbds_max, 16U);
  EXPECT_EQ(facts.max_part, std::nullopt);
  EXPECT_TRUE(facts.dev_is_kept);
  EXPECT_TRUE(facts.udev_runs);
  EXPECT_FALSE(facts.udev_watches);
  EXPECT_FALSE(facts.kernel_threads_visible);
}

TEST(HazardFacts, OfAnEmptyMachineAreAllMissing) {
  FakeRoot root;
  root.file("/etc/udev/rules.d/a.rules", "# KERNEL==\"nbd*\", OPTIONS:=\"nowatch\"\n");
  const HazardFacts facts = collect_hazard_facts(root.path());
  EXPECT_FALSE(facts.driver_present || facts.driver_loadable || facts.dev_is_kept ||
               facts.udev_runs);
  EXPECT_TRUE(facts.udev_watches);
}

}  // namespace
}  // namespace nbdring
