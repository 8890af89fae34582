#include "cli/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "cli/config_defaults.hpp"
#include "client/runtime/error.hpp"
#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr uid_t somebody = 1000;

Config parse(const std::string& text) { return parse_config(text, "F"); }

TEST(Config, NothingIsNoNameAndNoDefault) {
  for (const char* text : {"", "\n", "# nothing\n", "[aliases]\n[attach]\n"}) {
    const Config config = parse(text);
    EXPECT_TRUE(config.aliases.empty());
    EXPECT_FALSE(config.attach.connections || config.attach.timeout ||
                 config.attach.recovery_window);
    EXPECT_TRUE(config.warnings.empty());
  }
}

TEST(Config, HasNamesWithTheirPlacesAndDefaults) {
  const Config config = parse(R"([aliases]
disk1 = "nbds://alice@host/disk1;x"
"disk.img" = 'exec:nbdkit memory 1G; true'

[attach]
connections = 3
timeout = 7
recovery-window = 0
)");
  EXPECT_EQ(config.aliases.size(), 2U);
  EXPECT_EQ(config.aliases.at("disk1").target, "nbds://alice@host/disk1;x");
  EXPECT_EQ(config.aliases.at("disk1").origin, "F:2");
  EXPECT_EQ(config.aliases.at("disk.img").target, "exec:nbdkit memory 1G; true");
  EXPECT_EQ(config.aliases.at("disk.img").origin, "F:3");
  EXPECT_EQ(config.attach.connections, 3U);
  EXPECT_EQ(config.attach.timeout, seconds(7));
  EXPECT_EQ(config.attach.recovery_window, seconds(0));
  EXPECT_TRUE(config.warnings.empty());
}

TEST(Config, UnknownKeysAreNamedWithTheirLines) {
  const Config config = parse("bogus = 1\n[attach]\nconections = 2\n[gatway]\nport = 1\n");
  EXPECT_THAT(config.warnings, ::testing::UnorderedElementsAre(
                                   "F:1: 'bogus' is not known and is ignored",
                                   "F:3: 'attach.conections' is not known and is ignored",
                                   "F:4: 'gatway' is not known and is ignored"));
}

struct Refused {
  const char* text;
  const char* says;
};

void PrintTo(const Refused& refused, std::ostream* out) { *out << '"' << refused.text << '"'; }

class RefusedConfig : public ::testing::TestWithParam<Refused> {};

TEST_P(RefusedConfig, IsAUsageFailureWithFileAndLine) {
  try {
    parse(GetParam().text);
    FAIL() << GetParam().text << " was accepted";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::usage);
    EXPECT_THAT(failure.what(), ::testing::StartsWith(GetParam().says));
    EXPECT_EQ(std::string(failure.what()).find('\n'), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Texts, RefusedConfig,
    ::testing::Values(
        Refused{"[aliases\n", "F:1: "}, Refused{"\n\na = \n", "F:3: "},
        Refused{"\na b c\n", "F:2: "}, Refused{"[aliases]\na = \"x\"\na = \"y\"\n", "F:3: "},
        Refused{"[aliases]\na = \"x\n", "F:2: "}, Refused{"a = \"\xff\"", "F:1: "},
        Refused{"aliases = 1", "F:1: 'aliases' is not a section; write [aliases]"},
        Refused{"attach = \"x\"", "F:1: 'attach' is not a section"},
        Refused{"[[aliases]]\na = \"x\"", "F:1: 'aliases' is not a section"},
        Refused{"[aliases]\na = 1", "F:2: 'a' is not a backend in quotes"},
        Refused{"[aliases]\na = \"\"", "F:2: 'a' is not a backend in quotes"},
        Refused{"[aliases]\na.b = \"x\"", "F:2: 'a' is not a backend in quotes"},
        Refused{"[aliases]\n\"a/b\" = \"x\"", "F:2: 'a/b' cannot be a name"},
        Refused{"[aliases]\n\"a:b\" = \"x\"", "F:2: 'a:b' cannot be a name"},
        Refused{"[aliases]\n\"\" = \"x\"", "F:2: '' cannot be a name"},
        Refused{"[aliases]\n\".a\" = \"x\"", "F:2: '.a' cannot be a name"},
        Refused{"[aliases]\n\"a\\nb\" = \"x\"", "F:2: 'a b' cannot be a name"},
        Refused{"[attach]\nconnections = 0",
                "F:2: 'connections' is not a whole number from 1 to 16"},
        Refused{"[attach]\nconnections = 17", "F:2: 'connections' is not"},
        Refused{"[attach]\nconnections = 1.0", "F:2: 'connections' is not"},
        Refused{"[attach]\nconnections = \"4\"", "F:2: 'connections' is not"},
        Refused{"[tls]\npsk-file = \"keys\"", "F:2: 'psk-file' is not an absolute path"},
        Refused{"[tls]\ncertificates = 1", "F:2: 'certificates' is not an absolute path"},
        Refused{"[tls]\npriority = \"\"", "F:2: 'priority' is not a text in quotes"},
        Refused{"[tls]\ncertificates = \"/a\"\npsk-file = \"/b\"",
                "F:3: 'psk-file' is the second kind of keys"},
        Refused{"[attach]\ntimeout = 0", "F:2: 'timeout' is not a whole number from 1 to 86400"},
        Refused{"[attach]\ntimeout = 9223372036854775807", "F:2: 'timeout' is not"},
        Refused{"[attach]\ntimeout = 9223372036854775808", "F:2: "},
        Refused{"[attach]\nrecovery-window = -1",
                "F:2: 'recovery-window' is not a whole number from 0 to 86400"}));

class ConfigFile : public ::testing::Test {
 protected:
  void write(const std::string& text, mode_t mode) {
    std::ofstream(path) << text;
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }
  std::string refusal(uid_t user) {
    try {
      read_config(path, user);
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::failed);
      return failure.what();
    }
    return "accepted";
  }

  TemporaryFolder folder;
  std::string path = folder / "nbdring.toml";
};

TEST_F(ConfigFile, IsReadWholeOrIsNotThere) {
  EXPECT_FALSE(read_config(path, somebody).has_value());
  EXPECT_FALSE(read_config(path + "/x", somebody).has_value());
  const std::string comment(100'000, '#');
  write(comment + "\n[aliases]\na = \"b\"\n", 0644);
  EXPECT_EQ(read_config(path, somebody)->aliases.at("a").origin, path + ":3");
}

TEST_F(ConfigFile, IsARegularFileOfALimitedSize) {
  write(std::string(1024 * 1024, '\n'), 0644);
  EXPECT_TRUE(read_config(path, somebody).has_value());
  write(std::string(1024 * 1024 + 1, '\n'), 0644);
  EXPECT_THAT(refusal(somebody), HasSubstr("larger than 1 MiB"));
  std::filesystem::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(refusal(somebody), HasSubstr("not a regular file"));
  path = folder.path();
  EXPECT_THAT(refusal(somebody), HasSubstr("not a regular file"));
  path = "/dev/null";
  EXPECT_TRUE(read_config(path, 0).has_value());
}

TEST_F(ConfigFile, IsRefusedByRootWhereOthersCanWriteIt) {
  for (const mode_t mode : {0666, 0620, 0602}) {
    write("[aliases]\na = \"b\"\n", mode);
    EXPECT_THAT(refusal(0), HasSubstr("can be written by others than root")) << mode;
    EXPECT_EQ(refusal(somebody), "accepted") << mode;
  }
}

TEST_F(ConfigFile, IsRefusedByRootWhereAnotherOwnsIt) {
  write("", 0600);
  if (::geteuid() == 0) {
    EXPECT_EQ(refusal(0), "accepted");
    ASSERT_EQ(::chown(path.c_str(), somebody, 0), 0);
  }
  EXPECT_THAT(refusal(0), HasSubstr("can be written by others than root"));
}

TEST(ConfigDefaults, AnOptionGoesBeforeTheFile) {
  AttachCommand given;
  given.timeout = seconds(5);
  const BackendForm file = FileSpec{"/x"};
  const Config config = parse("[attach]\nconnections = 2\ntimeout = 6\nrecovery-window = 7\n");
  const AttachCommand filled = with_defaults(given, file, config);
  EXPECT_EQ(filled.connections, 2U);
  EXPECT_EQ(filled.timeout, seconds(5));
  EXPECT_EQ(filled.recovery_window, seconds(7));
  EXPECT_FALSE(with_defaults(AttachCommand(), file, Config()).connections.has_value());
}

// What TLS settings a URI has, with the options and the file's [tls].
TlsSettings tls_of(const std::string& uri, const TlsOptions& options, const std::string& file) {
  const BackendForm form = parse_backend_spec(uri).form;
  return tls_settings_of(form, with_defaults(options, form, parse("[tls]\n" + file).tls));
}

TEST(ConfigDefaults, TlsTakesFirstTheURIThenTheOptionThenTheFile) {
  const std::string file = "psk-file = \"/file\"\npriority = \"FILE\"\n";
  TlsOptions options;
  EXPECT_EQ(tls_of("nbds://h/", options, file).psk_file, "/file");
  EXPECT_EQ(tls_of("nbds://h/", options, file).priority, "FILE");
  EXPECT_EQ(tls_of("nbds://h/?tls-psk-file=/uri", options, file).psk_file, "/uri");
  EXPECT_EQ(tls_of("nbds://h/?tls-priority=URI", options, file).priority, "URI");
  options.psk_file = "/option";
  options.priority = "OPTION";
  EXPECT_EQ(tls_of("nbds://h/", options, file).psk_file, "/option");
  EXPECT_EQ(tls_of("nbds://h/", options, file).priority, "OPTION");
}

TEST(ConfigDefaults, OneKindOfKeysKeepsTheOtherOut) {
  const std::string psk = "psk-file = \"/file\"\n";
  const TlsSettings uri = tls_of("nbds://h/?tls-certificates=/pki", {}, psk);
  EXPECT_EQ(uri.psk_file, "");
  EXPECT_EQ(uri.certificates, "/pki");
  TlsOptions options;
  options.certificates = "/pki";
  EXPECT_EQ(tls_of("nbds://h/", options, psk).psk_file, "");
  EXPECT_EQ(tls_of("nbds://h/?tls-type=x509", {}, psk).psk_file, "");
  const std::string certificates = "certificates = \"/pki\"\n";
  EXPECT_EQ(tls_of("nbds://h/", {}, certificates).certificates, "/pki");
  EXPECT_EQ(tls_of("nbds://h/?tls-psk-file=/uri", {}, certificates).certificates, "");
}

TEST(ConfigDefaults, TheFileTurnsNoTlsOn) {
  const std::string file = "psk-file = \"/file\"\npriority = \"FILE\"\n";
  EXPECT_EQ(tls_of("nbd://h/", {}, file).policy, TlsPolicy::off);
  EXPECT_EQ(tls_of("nbd://h/", {}, file).psk_file, "");
  TlsOptions options;
  options.policy = TlsPolicy::allow;
  EXPECT_EQ(tls_of("nbd://h/", options, file).psk_file, "/file");
  EXPECT_EQ(tls_of("exec:server", options, file).psk_file, "/file");
  EXPECT_EQ(tls_of("exec:server", {}, file).psk_file, "");
}

}  // namespace
}  // namespace nbdring
