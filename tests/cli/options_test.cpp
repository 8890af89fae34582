#include "cli/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cli/help.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> words(const std::string& line) {
  std::istringstream stream("nbdring " + line);
  return {std::istream_iterator<std::string>(stream), {}};
}

Invocation parse(const std::string& line) { return parse_command_line(words(line)); }

template <typename T>
T parse_as(const std::string& line) {
  return std::get<T>(parse(line).command);
}

struct Refused {
  const char* line;
  const char* says;  // a part of the message
};

// In the test's report instead of its bytes.
void PrintTo(const Refused& refused, std::ostream* out) { *out << refused.line; }

class RefusedCommandLine : public ::testing::TestWithParam<Refused> {};

TEST_P(RefusedCommandLine, IsAUsageFailureThatNamesTheCulprit) {
  try {
    parse(GetParam().line);
    FAIL() << GetParam().line << " was accepted";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::usage);
    EXPECT_THAT(failure.what(), HasSubstr(GetParam().says));
    EXPECT_EQ(std::string(failure.what()).find('\n'), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Lines, RefusedCommandLine,
    ::testing::Values(
        Refused{"", "no command given"}, Refused{"atach x", "'atach' is not a command"},
        Refused{"-v", "no command given"}, Refused{"gatway", "'gatway' is not a command"},
        Refused{"attach", "no BACKEND given"}, Refused{"attach x /dev/sda", "'/dev/sda'"},
        Refused{"attach x 1 2", "'2' is not understood"},
        Refused{"attach x --bogus", "'--bogus' is not understood"},
        Refused{"attach x -c", "--connections takes one value"},
        Refused{"attach x -c 0", "'0' is not a whole number from 1 to 16"},
        Refused{"attach x -c 17", "'17' is not a whole number from 1 to 16"},
        Refused{"attach x -c 2x", "'2x'"}, Refused{"attach x -c 2 -c 3", "takes one value, once"},
        Refused{"attach x --timeout 0", "--timeout: '0'"},
        Refused{"attach x --timeout -1", "--timeout: '-1'"},
        Refused{"attach x --timeout 99999999999999999999", "--timeout"},
        Refused{"attach x --recovery-window 1.5", "'1.5'"},
        Refused{"attach x -b 513", "'513' is not 512, 1024, 2048 or 4096"},
        Refused{"attach x -b 8192", "'8192'"},
        Refused{"attach x --path road", "'road' is not auto, engine or kernel"},
        Refused{"attach x --name nbd3", "reads like a device"},
        Refused{"attach x --name 7", "reads like a device"},
        Refused{"attach x --name a/b", "'a/b' is not a name"},
        Refused{"attach x --name=", "--name takes one value"},
        Refused{"attach x --json", "'--json' is not understood"},
        Refused{"list --config x", "'--config' is not understood"},
        Refused{"attach x --config", "--config takes one value"},
        Refused{"detach", "no DEVICE given"}, Refused{"detach 3 --all", "exclude each other"},
        Refused{"list extra", "'extra' is not understood"}, Refused{"status", "no DEVICE given"},
        Refused{"status 3 --json --watch", "exclude each other"},
        Refused{"serve", "no BACKEND given"}, Refused{"serve x --tcp 1.2.3.4", "HOST:PORT"},
        Refused{"serve x --tcp ::1:80", "[ADDRESS]:PORT"},
        Refused{"serve x --tcp :80", "HOST:PORT"}, Refused{"serve x --tcp a:65536", "HOST:PORT"},
        Refused{"serve x --fd -1", "'-1'"}, Refused{"serve x --max-clients 0", "'0'"},
        Refused{"serve x --layer nosuch", "'nosuch' is not a layer"},
        Refused{"attach x --layer", "--layer takes one value"}, Refused{"info", "no BACKEND given"},
        Refused{"info x --tls maybe", "'maybe'"},
        Refused{"info x --tls-verify-peer maybe", "'maybe' is not 0 or 1"},
        Refused{"info x --tls-psk k", "'--tls-psk' is not understood"},
        Refused{"--log-format xml list", "'xml' is neither text nor json"},
        Refused{"resize", "no DEVICE given"}, Refused{"resize 0 -5", "'-5' is not a number"},
        Refused{"resize 0 5x", "5x"}, Refused{"resize 0 0", "'0' is nothing"},
        Refused{"upgrade", "no DEVICE given"},
        Refused{"upgrade 0 --all", "'0' and --all exclude each other"},
        Refused{"doctor now", "'now' is not understood"}));

TEST(Options, AttachLeavesOpenWhatIsNotGiven) {
  const auto command = parse_as<AttachCommand>("attach disk.img");
  EXPECT_EQ(command.backend, "disk.img");
  EXPECT_FALSE(command.index.has_value());
  EXPECT_FALSE(command.foreground);
  EXPECT_FALSE(command.root_device);
  EXPECT_FALSE(command.read_only);
  EXPECT_FALSE(command.block_size.has_value());
  EXPECT_FALSE(command.connections.has_value());
  EXPECT_FALSE(command.timeout.has_value());
  EXPECT_FALSE(command.recovery_window.has_value());
}

TEST(Options, AttachTakesEveryOption) {
  const auto command = parse_as<AttachCommand>(
      "attach file:/x /dev/nbd12 -f -c 16 -r -b 4096 --timeout 5 --recovery-window 0 --id a:b "
      "--name srv --path engine --root-device --strict");
  EXPECT_EQ(command.index, 12U);
  EXPECT_TRUE(command.foreground);
  EXPECT_TRUE(command.root_device);
  EXPECT_EQ(command.connections, 16U);
  EXPECT_TRUE(command.read_only);
  EXPECT_EQ(command.block_size, 4096U);
  EXPECT_EQ(command.timeout, std::chrono::seconds(5));
  EXPECT_EQ(command.recovery_window, std::chrono::seconds(0));
  EXPECT_EQ(command.id, "a:b");
  EXPECT_EQ(command.name, "srv");
}

TEST(Options, TheDriversOwnPathIsAskedForByName) {
  EXPECT_TRUE(parse_as<AttachCommand>("attach x --path kernel").kernel_path);
  for (const char* words : {"attach x", "attach x --path auto", "attach x --path engine"}) {
    EXPECT_FALSE(parse_as<AttachCommand>(words).kernel_path) << words;
  }
}

TEST(Options, AnEmptyNameOrIdentityIsNone) {
  for (const char* option : {"--name", "--id"}) {
    EXPECT_THROW(parse_command_line({"nbdring", "attach", "x", option, ""}), Failure) << option;
  }
}

TEST(Options, DeviceIsAPathANameOrANumber) {
  EXPECT_EQ(parse_as<AttachCommand>("attach x /dev/nbd7").index, 7U);
  EXPECT_EQ(parse_as<AttachCommand>("attach x nbd7").index, 7U);
  EXPECT_EQ(parse_as<AttachCommand>("attach x 7").index, 7U);
}

TEST(Options, ResizeTakesASizeWithAUnitOrNone) {
  const auto none = parse_as<ResizeCommand>("resize srv");
  EXPECT_EQ(none.target, "srv");
  EXPECT_EQ(none.size, std::nullopt);
  EXPECT_FALSE(none.force);
  const auto command = parse_as<ResizeCommand>("resize /dev/nbd0 2G --force");
  EXPECT_EQ(command.size, std::uint64_t{2} << 30);
  EXPECT_TRUE(command.force);
}

TEST(Options, UpgradeIsOfOneDeviceOrAll) {
  const auto one = parse_as<UpgradeCommand>("upgrade srv --program /opt/nbdring");
  EXPECT_EQ(one.target, "srv");
  EXPECT_EQ(one.program, "/opt/nbdring");
  const auto all = parse_as<UpgradeCommand>("upgrade --all");
  EXPECT_TRUE(all.all);
  EXPECT_EQ(all.program, "");
}

TEST(Options, ServeListensInSeveralPlaces) {
  const auto command = parse_as<ServeCommand>(
      "serve x --unix /a --unix /b --tcp [::1]:10809 --tcp localhost:0 --fd 5 -n disk");
  EXPECT_THAT(command.unix_paths, ::testing::ElementsAre("/a", "/b"));
  ASSERT_EQ(command.tcp.size(), 2U);
  EXPECT_EQ(command.tcp[0].host, "::1");
  EXPECT_EQ(command.tcp[0].port, 10809);
  EXPECT_EQ(command.tcp[1].port, 0);
  EXPECT_THAT(command.descriptors, ::testing::ElementsAre(5));
  EXPECT_EQ(command.export_name, "disk");
}

TEST(Options, LayersAreKeptInTheirOrder) {
  const std::string line = " x --layer readonly --layer=offset=1K,size=2K --layer readonly";
  const std::vector<LayerSpec> expected{
      {"readonly", ""}, {"offset", "1K,size=2K"}, {"readonly", ""}};
  EXPECT_EQ(parse_as<AttachCommand>("attach" + line).layers, expected);
  EXPECT_EQ(parse_as<ServeCommand>("serve" + line).layers, expected);
  EXPECT_EQ(parse_as<InfoCommand>("info" + line).layers, expected);
}

TEST(Options, InfoAndAttachTakeTheSameTlsOptions) {
  const std::string tls =
      " --tls require --tls-psk-file k --tls-certificates d --tls-hostname h --tls-verify-peer=0 "
      "--tls-priority p";
  const auto info = parse_as<InfoCommand>("info nbd://h/ --list --json" + tls);
  EXPECT_TRUE(info.list && info.json);
  for (const TlsOptions& options : {info.tls, parse_as<AttachCommand>("attach x" + tls).tls}) {
    EXPECT_EQ(options.policy, TlsPolicy::require);
    EXPECT_EQ(options.psk_file, "k");
    EXPECT_EQ(options.certificates, "d");
    EXPECT_EQ(options.hostname, "h");
    EXPECT_EQ(options.verify_peer, false);
    EXPECT_EQ(options.priority, "p");
  }
  const auto plain = parse_as<InfoCommand>("info x");
  EXPECT_FALSE(plain.tls.policy || plain.tls.psk_file || plain.tls.verify_peer);
  EXPECT_FALSE(plain.list || plain.json);
}

TEST(Options, GatewayListensInSeveralPlaces) {
  const auto command = parse_as<GatewayCommand>(
      "gateway --listen [::1]:0 --listen h:80 --unix /u --insecure --tls-psk k --json-config j "
      "--tokens t --state-dir s");
  ASSERT_EQ(command.listen.size(), 2U);
  EXPECT_EQ(command.listen[1].port, 80);
  EXPECT_THAT(command.unix_paths, ::testing::ElementsAre("/u"));
  EXPECT_TRUE(command.insecure);
  EXPECT_EQ(command.tls.policy, TlsPolicy::require);
  EXPECT_EQ(command.json_config, "j");
  EXPECT_EQ(command.tokens, "t");
  EXPECT_EQ(command.state_dir, "s");
  const auto plain = parse_as<GatewayCommand>("gateway");
  EXPECT_FALSE(plain.insecure || plain.json_config || plain.tokens || plain.state_dir);
  EXPECT_EQ(plain.tls.policy, TlsPolicy::off);
}

TEST(Options, NbdProxyIsAnotherNameOfProxy) {
  const auto same = [](const ProxyCommand& one, const ProxyCommand& other) {
    return one.configuration == other.configuration && one.metadata == other.metadata;
  };
  const auto called = [](std::vector<std::string> words) {
    return std::get<ProxyCommand>(parse_command_line(words).command);
  };
  EXPECT_TRUE(same(called({"/usr/bin/nbd-proxy", "0"}), parse_as<ProxyCommand>("proxy 0")));
  EXPECT_TRUE(
      same(called({"nbd-proxy", "--metadata"}), parse_as<ProxyCommand>("proxy --metadata")));
  EXPECT_EQ(called({"nbd-proxy"}).configuration, "");
  EXPECT_EQ(std::get<ShowText>(parse_command_line({"nbd-proxy", "-h"}).command).text,
            help_text("proxy"));
}

TEST(Options, CommonOptionsStandBeforeOrBehindTheCommand) {
  EXPECT_TRUE(parse("-v list").common.verbose);
  EXPECT_TRUE(parse("list -v").common.verbose);
  EXPECT_EQ(parse("list --log-format json").common.log_format, LogFormat::json);
  EXPECT_EQ(parse("--log-format json list").common.log_format, LogFormat::json);
  EXPECT_TRUE(parse("attach x --strict").common.strict);
  EXPECT_FALSE(parse("attach x").common.strict);
  for (const char* command : {"attach x", "serve x", "info x", "detach x", "status x"}) {
    const std::string line = std::string(command) + " --config F";
    EXPECT_EQ(parse(line).common.config, "F");
    EXPECT_FALSE(parse(command).common.config.has_value());
  }
}

TEST(Options, HelpAndVersionAreTextsToShow) {
  EXPECT_EQ(parse_as<ShowText>("--help").text, help_text(""));
  EXPECT_EQ(parse_as<ShowText>("detach -h").text, help_text("detach"));
  EXPECT_EQ(parse_as<ShowText>("--version").text, "nbdring " NBDRING_VERSION "\n");
}

class HelpText : public ::testing::TestWithParam<std::string> {};

TEST_P(HelpText, FitsEightyColumns) {
  std::istringstream text(help_text(GetParam()));
  for (std::string line; std::getline(text, line);) EXPECT_LE(line.size(), 80U) << line;
}

TEST_P(HelpText, NamesEveryOptionAndNoOther) {
  auto accepted = options_of(GetParam());
  const std::string text = help_text(GetParam());
  for (const std::string& option : accepted) {
    if (option == "--help") continue;  // who reads the text knows
    EXPECT_THAT(text, HasSubstr(" " + option + " "));
  }
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("  -") && !line.starts_with("      --")) continue;
    const std::size_t start = line.find("--");
    const std::string option = line.substr(start, line.find(' ', start) - start);
    EXPECT_THAT(accepted, ::testing::Contains(option)) << line;
  }
}

TEST_P(HelpText, ShowsTwoExamples) {
  const std::string text = help_text(GetParam());
  const std::size_t examples = text.find("Examples:\n");
  ASSERT_NE(examples, std::string::npos);
  EXPECT_GE(std::count(text.begin() + static_cast<std::ptrdiff_t>(examples), text.end(), '\n'), 3);
}

const auto commands =
    ::testing::Values("", "attach", "detach", "list", "status", "resize", "upgrade", "serve",
                      "gateway", "proxy", "token", "bench", "doctor");
INSTANTIATE_TEST_SUITE_P(Commands, HelpText, commands);

}  // namespace
}  // namespace nbdring
