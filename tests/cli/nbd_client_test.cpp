#include "cli/nbd_client.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "backends/nbd/tls_settings.hpp"
#include "cli/help.hpp"
#include "cli/nbd_client_device.hpp"
#include "client/protocol/backend_spec.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Action = NbdClientCommand::Action;

AnyCommand parse(const std::string& line) {
  std::istringstream stream("/sbin/nbd-client " + line);
  const std::vector<std::string> words{std::istream_iterator<std::string>(stream), {}};
  return parse_command_line(words).command;
}

NbdClientCommand command(const std::string& line) {
  return std::get<NbdClientCommand>(parse(line));
}

AttachCommand attach(const std::string& line) {
  const NbdClientCommand parsed = command(line);
  EXPECT_EQ(parsed.action, Action::connect) << line;
  return attach_command(parsed.device);
}

struct Line {
  const char* words;
  const char* backend;
  int index;  // -1: a free one
};

void PrintTo(const Line& line, std::ostream* out) { *out << line.words; }

class ConnectingLine : public ::testing::TestWithParam<Line> {};

TEST_P(ConnectingLine, IsABackendAndADevice) {
  const AttachCommand taken = attach(GetParam().words);
  EXPECT_EQ(taken.backend, GetParam().backend);
  EXPECT_EQ(taken.index ? static_cast<int>(*taken.index) : -1, GetParam().index);
  EXPECT_EQ(to_text(parse_backend_spec(taken.backend).form), taken.backend);
}

// As scripts have them: the manual page's examples, initramfs-tools' local-top/nbd, the tests of
// other people's packages.
INSTANTIATE_TEST_SUITE_P(
    Scripts, ConnectingLine,
    ::testing::Values(
        Line{"server.domain.com 2000 /dev/nbd0", "nbd://server.domain.com:2000/", 0},
        Line{"swapserver 2001 /dev/nbd1 -swap", "nbd://swapserver:2001/", 1},
        Line{"10.0.0.1 -N root /dev/nbd0 -swap -persist -systemd-mark", "nbd://10.0.0.1:10809/root",
             0},
        Line{"10.0.0.1 -N root 10810 /dev/nbd3 -swap -persist", "nbd://10.0.0.1:10810/root", 3},
        Line{"-t 30 -b 4096 -p -N test localhost /dev/nbd0", "nbd://localhost:10809/test", 0},
        Line{"-name disk h nbd2", "nbd://h:10809/disk", 2},
        Line{"--name=disk h 1 /dev/nbd2", "nbd://h:1/disk", 2},
        Line{"-na disk h 1 /dev/nbd2", "nbd://h:1/disk", 2},
        Line{"-timeout 360000 -unix /run/s /dev/nbd0", "nbd+unix:///?socket=/run/s", 0},
        Line{"-u /run/s /dev/nbd0 -N a", "nbd+unix:///a?socket=/run/s", 0},
        Line{"h 10809", "nbd://h:10809/", -1}, Line{"h -N x", "nbd://h:10809/x", -1},
        Line{"::1 10809 /dev/nbd0", "nbd://[::1]:10809/", 0},
        Line{"[::1] 10809 /dev/nbd0", "nbd://[::1]:10809/", 0},
        Line{"h 1 /dev/nbd0 bs=1024 timeout=10", "nbd://h:1/", 0},
        Line{"h 1 /dev/nbd0 -x", "nbds://h:1/", 0},
        Line{"h 1 /dev/nbd0 -H other", "nbds://h:1/", 0},
        Line{"-N /a/b -- h 1 /dev/nbd0", "nbd://h:1//a/b", 0}));

TEST(NbdClient, ItsOptionsAreOptionsOfAttach) {
  const AttachCommand given =
      attach("h 1 /dev/nbd0 -b 1024 -C 3 -t 7 -R -B 1048576 -F c -K k -A a -H n");
  EXPECT_EQ(given.block_size, 1024U);
  EXPECT_EQ(given.connections, 3U);
  EXPECT_EQ(given.recovery_window, std::chrono::seconds(7));
  EXPECT_EQ(given.timeout, std::nullopt);
  EXPECT_TRUE(given.read_only);
  EXPECT_THAT(given.layers, ElementsAre(LayerSpec{"offset", "0,size=1048576"}));
  const TlsSettings tls = tls_settings_of(parse_backend_spec(given.backend).form, given.tls);
  EXPECT_EQ(tls.policy, TlsPolicy::require);
  EXPECT_EQ(tls.certificate_file, "c");
  EXPECT_EQ(tls.key_file, "k");
  EXPECT_EQ(tls.authorities_file, "a");
  EXPECT_EQ(tls.hostname, "n");

  const AttachCommand plain = attach("h 1 /dev/nbd0");
  EXPECT_FALSE(plain.block_size || plain.connections || plain.recovery_window || plain.read_only);
  EXPECT_TRUE(plain.layers.empty());
  EXPECT_EQ(tls_settings_of(parse_backend_spec(plain.backend).form, plain.tls).policy,
            TlsPolicy::off);
}

TEST(NbdClient, ItsLimitsAreWiderThanOurs) {
  EXPECT_EQ(attach("h 1 /dev/nbd0 -C 100").connections, 16U);
  EXPECT_EQ(attach("h 1 /dev/nbd0 -t 360000").recovery_window, std::chrono::seconds(86400));
  EXPECT_EQ(attach("h 1 /dev/nbd0 -t 0").recovery_window, std::nullopt);
  EXPECT_EQ(attach("h 1 /dev/nbd0 -T 9").recovery_window, std::chrono::seconds(9));
}

TEST(NbdClient, OtherActions) {
  EXPECT_EQ(command("-d /dev/nbd0").action, Action::disconnect);
  EXPECT_EQ(command("-disconnect /dev/nbd0").target, "/dev/nbd0");
  EXPECT_EQ(command("-c nbd0").action, Action::check);
  EXPECT_EQ(command("--check=/dev/nbd7").target, "/dev/nbd7");
  EXPECT_EQ(command("nbd0").action, Action::connect_from_tab);
  EXPECT_EQ(command("/dev/nbd11").target, "/dev/nbd11");
  EXPECT_EQ(command("-l h").action, Action::list);
  EXPECT_EQ(command("-list h 10810").device.port, 10810);
  EXPECT_EQ(command("-netlink -l h").device.host, "h");
  EXPECT_EQ(std::get<ShowText>(parse("-h")).text, help_text("nbd-client"));
  EXPECT_THAT(std::get<ShowText>(parse("-V")).text, HasSubstr("nbd 3.24"));
}

TEST(NbdClient, WhatMeansNothingIsSaid) {
  EXPECT_TRUE(command("h 1 /dev/nbd0 -N x -b 512 -R").remarks.empty());
  EXPECT_THAT(command("h 1 /dev/nbd0 -p -s -g").remarks,
              ElementsAre(HasSubstr("-persist"), HasSubstr("-swap"), HasSubstr("-no-optgo")));
  EXPECT_FALSE(command("h 1 /dev/nbd0 -n").foreground);  // with netlink it does not stay there
  EXPECT_EQ(command("h 1 /dev/nbd0 -n").remarks.size(), 1U);
  EXPECT_TRUE(command("h 1 /dev/nbd0 -n -L").foreground);
  EXPECT_TRUE(command("h 1 /dev/nbd0 -systemd-mark").root_device);
}

TEST(NbdClient, RefusesInOneLineAndWithExitCodeOne) {
  for (const auto& [line, says] : std::vector<std::pair<const char*, const char*>>{
           {"", "no server"},
           {"-T", "'-T' is not known, or lacks its value"},
           {"--frobnicate", "'--frobnicate'"},
           {"h", "'h' alone"},
           {"h 1 /dev/sda", "'/dev/sda' is not a device"},
           {"h 1 /dev/nbd0 a", "'a' is one word too many"},
           {"h 0 /dev/nbd0", "port"},
           {"h 1 /dev/nbd0 -b 1000", "-block-size: '1000'"},
           {"h 1 /dev/nbd0 -C 0", "-connections"},
           {"h 1 /dev/nbd0 -t x", "-timeout"},
           {"h 1 /dev/nbd0 -P", "-preinit"},
           {"h 1 /dev/nbd0 -S", "-sdp"}}) {
    try {
      parse(line);
      ADD_FAILURE() << line << " was accepted";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::failed) << line;
      EXPECT_THAT(failure.what(), HasSubstr(says)) << line;
      EXPECT_EQ(std::string(failure.what()).find('\n'), std::string::npos);
    }
  }
}

TEST(NbdClient, HelpNamesEveryOption) {
  const std::string text = help_text("nbd-client");
  for (const char* name : {"block-size",   "cacertfile", "certfile",    "check",     "connections",
                           "disconnect",   "enable-tls", "help",        "keyfile",   "list",
                           "name",         "no-optgo",   "nofork",      "nonetlink", "persist",
                           "preinit",      "readonly",   "sdp",         "size",      "swap",
                           "systemd-mark", "timeout",    "tlshostname", "unix",      "version"}) {
    EXPECT_THAT(text, HasSubstr("-" + std::string(name))) << name;
  }
}

}  // namespace
}  // namespace nbdring
