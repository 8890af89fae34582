#include "cli/tab.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/generator.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Tab parse(const std::string& text) { return parse_tab(text, "F"); }

TabEntry entry_of(const std::string& line) {
  Tab tab = parse(line);
  if (tab.entries.size() != 1) throw std::runtime_error("not one entry: " + line);
  return tab.entries.front();
}

std::string mistake_of(const std::string& text) {
  try {
    parse(text);
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::usage);
    return failure.what();
  }
  return "";
}

TEST(Tab, CommentsAndEmptyLinesAreNoEntries) {
  for (const char* text : {"", "\n\n", "# data /srv/x", "  \t \r\n  # x\n"}) {
    EXPECT_TRUE(parse(text).entries.empty()) << text;
  }
  EXPECT_EQ(parse("\n# x\ndata /srv/data.img # comment\n").entries.front().line, 3U);
}

TEST(Tab, OptionsAreThoseOfAttach) {
  const TabEntry entry = entry_of(
      "mail nbds://alice@host/mail connections=3,read-only,timeout=7,recovery-window=90,"
      "id=mail-1,tls-psk-file=/etc/k,layer=readahead=1M,device=/dev/nbd5,block-size=4096");
  EXPECT_EQ(entry.name, "mail");
  const AttachCommand& attach = entry.attach;
  EXPECT_EQ(attach.backend, "nbds://alice@host/mail");
  EXPECT_EQ(attach.name, "mail");
  EXPECT_EQ(attach.connections, 3U);
  EXPECT_TRUE(attach.read_only);
  EXPECT_EQ(attach.timeout, seconds(7));
  EXPECT_EQ(attach.recovery_window, seconds(90));
  EXPECT_EQ(attach.id, "mail-1");
  EXPECT_EQ(attach.tls.psk_file, "/etc/k");
  EXPECT_EQ(attach.layers.size(), 1U);
  EXPECT_EQ(attach.index, 5U);
  EXPECT_EQ(attach.block_size, 4096U);
  EXPECT_FALSE(attach.foreground);
}

TEST(Tab, WhatConcernsTheBootIsTheEntrys) {
  const TabEntry plain = entry_of("data /srv/data.img defaults,rw,auto,x-mine=1,_local");
  EXPECT_TRUE(plain.at_boot);
  EXPECT_FALSE(plain.nofail || plain.needs_network || plain.in_initramfs);
  EXPECT_FALSE(plain.device_timeout.has_value());
  const TabEntry all =
      entry_of("data /srv/data.img noauto,nofail,_netdev,initramfs,x-systemd.device-timeout=5");
  EXPECT_FALSE(all.at_boot);
  EXPECT_TRUE(all.nofail && all.needs_network && all.in_initramfs);
  EXPECT_EQ(all.device_timeout, seconds(5));
}

TEST(Tab, TheBackendSaysWhetherItNeedsTheNetwork) {
  for (const char* remote : {"nbd://h/x", "nbds://h/x", "nbd+ssh://h/x?socket=/s", "wss://h/x"}) {
    EXPECT_TRUE(entry_of(std::string("a ") + remote).needs_network) << remote;
  }
  for (const char* local : {"/x", "file:/x", "nbd+unix:///x?socket=/s", "memory:1M", "exec:cmd"}) {
    EXPECT_FALSE(entry_of(std::string("a ") + local).needs_network) << local;
  }
}

TEST(Tab, FieldsAreDecodedAsInFstab) {
  EXPECT_EQ(entry_of("a exec:nbdkit\\040memory\\0401G\\054\\043\\134 nofail").attach.backend,
            "exec:nbdkit memory 1G,#\\");
  EXPECT_EQ(entry_of("a /x id=a\\054b").attach.id, "a,b");
}

TEST(Tab, NbdtabsFormIsRead) {
  const TabEntry entry =
      entry_of("nbd3 server export port=10810,bs=1024,conns=2,persist,swap,no_optgo,_mine=x\n");
  EXPECT_EQ(entry.name, "nbd3");
  EXPECT_EQ(entry.attach.index, 3U);
  EXPECT_EQ(entry.attach.backend, "nbd://server:10810/export");
  EXPECT_EQ(entry.attach.connections, 2U);
  EXPECT_EQ(entry.attach.block_size, 1024U);
  EXPECT_TRUE(entry.needs_network);
  EXPECT_EQ(entry_of("/dev/nbd0 h e").name, "nbd0");
  const TabEntry local = entry_of("nbd0 /run/nbd.sock e unix");
  EXPECT_EQ(local.attach.backend, "nbd+unix:///e?socket=/run/nbd.sock");
  EXPECT_FALSE(local.needs_network);
  EXPECT_EQ(entry_of("nbd0 h e tlshostname=x").attach.tls.hostname, "x");
}

TEST(Tab, NbdtabsUnknownOptionsAreWarningsWithTheirPlace) {
  EXPECT_THAT(parse("\nnbd0 h e bogus,bs=512\n").warnings,
              ElementsAre("F:2: 'bogus' is not known and is ignored"));
}

TEST(Tab, EntriesAreFoundByName) {
  const Tab tab = parse("data /srv/x\nnbd3 h e\n");
  ASSERT_NE(tab.find("data"), nullptr);
  EXPECT_EQ(tab.find("/dev/nbd3"), tab.find("nbd3"));
  EXPECT_EQ(tab.find("nbd4"), nullptr);
}

struct Mistake {
  const char* text;
  const char* message;  // a part of it
};

class TabMistakes : public ::testing::TestWithParam<Mistake> {};

TEST_P(TabMistakes, AreOneLineWithTheirPlace) {
  const std::string line = mistake_of(std::string("# one\n") + GetParam().text);
  EXPECT_THAT(line, StartsWith("F:2: "));
  EXPECT_THAT(line, HasSubstr(GetParam().message));
  EXPECT_THAT(line, Not(HasSubstr("\n")));
}

INSTANTIATE_TEST_SUITE_P(
    Table, TabMistakes,
    ::testing::Values(
        Mistake{"data", "not NAME BACKEND"}, Mistake{"nbd0 host", "not DEVICE HOST EXPORT"},
        Mistake{"da/ta /x", "NAME: 'da/ta'"}, Mistake{"data dir/x.img", "does not begin with '/'"},
        Mistake{"data /x a=b c", "'c' is a field too many"},
        Mistake{"data /x connections=99", "99"}, Mistake{"data /x connections", "needs a value"},
        Mistake{"data /x read-only=1", "takes no value"},
        Mistake{"data /x foreground", "'foreground' is not an option here"},
        Mistake{"data /x name=y", "'name' is not an option here"},
        Mistake{"data /x bogus", "'bogus' is not an option here"},
        Mistake{"data /x nofail=1", "'nofail' is not an option here"},
        Mistake{"data /x a,,b", "without a name"}, Mistake{"data /x =b", "without a name"},
        Mistake{"data /x\\04", "three octal digits"}, Mistake{"data /x\\000", "no byte of a text"},
        Mistake{"data /x device=/dev/sda", "not a /dev/nbdN"},
        Mistake{"data /x x-systemd.device-timeout=soon", "soon"}, Mistake{"data nbd://h:0/x", "0"},
        Mistake{"nbd0 h e port=70000", "70000"}, Mistake{"nbd0 h e certfile", "needs a value"}));

TEST(Tab, ANameStandsForOneDevice) {
  EXPECT_EQ(mistake_of("data /x\n\ndata /y\n"), "F:3: 'data' is in line 1 already");
}

TEST(Generator, PathsAreEscapedAsSystemdDoes) {
  EXPECT_EQ(escaped_path("/dev/disk/by-nbd/a-b.c"), "dev-disk-by\\x2dnbd-a\\x2db.c");
}

std::map<std::string, std::string> units(const std::string& text) {
  return units_of(parse(text), "F");
}

TEST(Generator, ARemoteDeviceStandsBetweenTheNetworkAndItsMounts) {
  const auto files = units("mail nbd://h/mail\n");
  const std::string& service = files.at("nbdring@mail.service.d/50-tab.conf");
  EXPECT_THAT(service, HasSubstr("F:1\n"));
  EXPECT_THAT(service, HasSubstr("After=network-online.target"));
  EXPECT_THAT(service, HasSubstr("\nBefore=remote-fs-pre.target"));
  EXPECT_THAT(service, Not(HasSubstr("TimeoutStartSec")));
  EXPECT_EQ(files.count("remote-fs.target.wants/nbdring@mail.service"), 1U);
  const std::string& device = files.at("dev-disk-by\\x2dnbd-mail.device.d/50-nbdring.conf");
  EXPECT_THAT(device, HasSubstr("Wants=nbdring@mail.service"));
  EXPECT_EQ(files.count("dev-disk-by\\x2dnbd-mail\\x2dpart15.device.d/50-nbdring.conf"), 1U);
}

TEST(Generator, ALocalFilesDeviceComesAfterTheFileSystemBelow) {
  const auto files = units("data /srv/my\\040images/100%.img\n");
  const std::string& service = files.at("nbdring@data.service.d/50-tab.conf");
  EXPECT_THAT(service, HasSubstr("RequiresMountsFor=\"/srv/my images/100%%.img\"\n"));
  EXPECT_THAT(service, HasSubstr("Before=local-fs.target"));
  EXPECT_THAT(service, Not(HasSubstr("network")));
  EXPECT_EQ(files.count("local-fs.target.wants/nbdring@data.service"), 1U);
}

TEST(Generator, NothingWaitsForWhatMayFail) {
  const auto files = units("a nbd://h/a nofail\nb /b nofail\nc nbd://h/c noauto\n");
  for (const char* name : {"a", "b"}) {
    const std::string& service =
        files.at(std::string("nbdring@") + name + ".service.d/50-tab.conf");
    EXPECT_THAT(service, Not(HasSubstr("Before=")));
    EXPECT_THAT(service, HasSubstr("TimeoutStartSec=infinity"));
  }
  EXPECT_EQ(files.count("remote-fs.target.wants/nbdring@c.service"), 0U);
  EXPECT_EQ(files.count("nbdring@c.service.d/50-tab.conf"), 1U);
}

TEST(Generator, TheInitramfssEntryHasNoUnit) {
  EXPECT_TRUE(units("root nbd://h/root initramfs\n").empty());
}

TEST(Generator, ADevicesTimeIsTheServicesToo) {
  const auto files = units("nbd3 h e x-systemd.device-timeout=7\n");
  EXPECT_THAT(files.at("nbdring@nbd3.service.d/50-tab.conf"), HasSubstr("TimeoutStartSec=7\n"));
  EXPECT_THAT(files.at("dev-nbd3.device.d/50-nbdring.conf"), HasSubstr("JobRunningTimeoutSec=7\n"));
  EXPECT_EQ(files.count("dev-nbd3p1.device.d/50-nbdring.conf"), 1U);
}

TEST(Options, FromTabExcludesWhatTheEntrySays) {
  const auto parse_attach = [](std::vector<std::string> words) {
    words.insert(words.begin(), {"nbdring", "attach"});
    return std::get<AttachCommand>(parse_command_line(words).command);
  };
  const AttachCommand command = parse_attach({"--from-tab", "data", "--foreground", "--wait"});
  EXPECT_EQ(command.from_tab, "data");
  EXPECT_TRUE(command.foreground && command.wait);
  EXPECT_THROW(parse_attach({"--from-tab", "data", "/x"}), Failure);
  EXPECT_THROW(parse_attach({"--from-tab", "data", "-c", "2"}), Failure);
  EXPECT_THROW(parse_attach({"/x", "--tab", "/y"}), Failure);
}

}  // namespace
}  // namespace nbdring
