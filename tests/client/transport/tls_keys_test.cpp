// What a user can get wrong with keys: files, users, priorities.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "client/transport/tls.hpp"
#include "client/transport/tls_priority.hpp"
#include "client/transport/tls_psk.hpp"
#include "tests/support/tls_keys.hpp"

namespace nbdring {
namespace {

using testing::HasSubstr;
using Side = TlsCredentials::Side;

constexpr std::string_view two_users =
    "# made by "
    "psktool\n\nalice:00112233445566778899aabbccddeeff\nbob:FFEEDDCCBBAA99887766554433221100"
    "\r\n";

std::string hex_of(std::optional<SecretBytes> key) {
  if (!key) return "none";
  std::string text;
  for (const std::byte byte : key->bytes()) {
    constexpr std::string_view digits = "0123456789abcdef";
    text += digits[std::to_integer<std::size_t>(byte >> 4)];
    text += digits[std::to_integer<std::size_t>(byte & std::byte{15})];
  }
  return text;
}

struct Refusal {
  FailureKind kind = FailureKind::failed;
  std::string text;
};

Refusal refusal_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Failure& failure) {
    return {failure.kind(), failure.what()};
  }
  return {FailureKind::failed, "it was accepted"};
}

class TlsKeysTest : public testing::Test {
 protected:
  Refusal refused_file(const std::string& path) {
    return refusal_of([&path] { PskFile file(path); });
  }
  Refusal refused_settings(Side side, const TlsSettings& settings) {
    return refusal_of([&] { const TlsCredentials credentials(side, settings); });
  }

  TlsKeys keys_;
};

TEST_F(TlsKeysTest, FindsUsers) {
  PskFile file(keys_.write("keys.psk", two_users));
  EXPECT_EQ(hex_of(file.key_of("alice")), "00112233445566778899aabbccddeeff");
  EXPECT_EQ(hex_of(file.key_of("bob")), "ffeeddccbbaa99887766554433221100");
  for (const char* user : {"", "alic", "alicee", "carol", "# made by psktool"}) {
    EXPECT_EQ(hex_of(file.key_of(user)), "none") << user;
  }
}

TEST_F(TlsKeysTest, ReadsAFileAgainThatHasChanged) {
  PskFile file(keys_.write("keys.psk", two_users));
  keys_.write("keys.psk", "alice:aabb\ncarol:ccdd\n");
  EXPECT_EQ(hex_of(file.key_of("alice")), "aabb");
  EXPECT_EQ(hex_of(file.key_of("carol")), "ccdd");
  EXPECT_EQ(hex_of(file.key_of("bob")), "none");
}

TEST_F(TlsKeysTest, LetsNobodyInWhileAChangedFileIsBad) {
  PskFile file(keys_.write("keys.psk", two_users));
  keys_.write("keys.psk", "nonsense\n");
  EXPECT_THAT(refusal_of([&] { file.key_of("alice"); }).text, HasSubstr(":1: not a line"));
  EXPECT_EQ(refusal_of([&] { file.key_of("alice"); }).kind, FailureKind::usage);
  keys_.write("keys.psk", two_users);
  EXPECT_NE(hex_of(file.key_of("alice")), "none");
}

TEST_F(TlsKeysTest, RefusesBadLines) {
  for (const char* line : {"alice", "alice:", "alice:0", "alice:0g", ":00", "alice: 00"}) {
    const Refusal refusal =
        refused_file(keys_.write("keys.psk", "bob:00\n" + std::string(line) + "\n"));
    EXPECT_EQ(refusal.kind, FailureKind::usage) << line;
    EXPECT_THAT(refusal.text, HasSubstr("keys.psk:2: not a line of psktool")) << line;
  }
  EXPECT_THAT(refused_file(keys_.write("keys.psk", std::string(129, 'u') + ":00\n")).text,
              HasSubstr(":1:"));
  EXPECT_THAT(refused_file(keys_.write("keys.psk", "# nothing\n")).text, HasSubstr("no key in it"));
}

TEST_F(TlsKeysTest, RefusesFilesThatOthersCanGetAt) {
  const std::string path = keys_.write("keys.psk", two_users);
  for (const mode_t mode : {0640U, 0604U, 0620U, 0602U, 0660U, 0666U}) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    const Refusal refusal = refused_file(path);
    EXPECT_EQ(refusal.kind, FailureKind::refused);
    EXPECT_THAT(refusal.text, HasSubstr("chmod 600 " + path));
  }
  ASSERT_EQ(::chmod(path.c_str(), 0400), 0);
  EXPECT_EQ(refused_file(path).text, "it was accepted");
  std::filesystem::create_symlink(path, keys_.path("link"));
  EXPECT_THAT(refused_file(keys_.path("link")).text, HasSubstr("may not be a symbolic link"));
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(path.c_str(), 12345, 0), 0);
    EXPECT_THAT(refused_file(path).text, HasSubstr("belongs to user 12345"));
  }
}

TEST_F(TlsKeysTest, RefusesWhatIsNoKeyFile) {
  EXPECT_EQ(refused_file(keys_.path("absent")).kind, FailureKind::usage);
  EXPECT_THAT(refused_file(keys_.path("absent")).text, HasSubstr("No such file"));
  EXPECT_THAT(refused_file("/tmp").text, HasSubstr("is not a file"));
  ASSERT_EQ(::mkfifo(keys_.path("fifo").c_str(), 0600), 0);
  EXPECT_THAT(refused_file(keys_.path("fifo")).text, HasSubstr("is not a file"));
  EXPECT_THAT(refused_file(keys_.write("huge", std::string(2'000'000, 'x'))).text,
              HasSubstr("larger than 1 MiB"));
}

TEST_F(TlsKeysTest, NamesAUserWithoutAKey) {
  TlsSettings settings;
  settings.psk_file = keys_.write("keys.psk", two_users);
  settings.psk_user = "carol";
  const Refusal refusal = refused_settings(Side::client, settings);
  EXPECT_EQ(refusal.kind, FailureKind::refused);
  EXPECT_THAT(refusal.text, HasSubstr("no key for the user 'carol'"));
}

TEST_F(TlsKeysTest, NeedsKeysAndAName) {
  EXPECT_EQ(refused_settings(Side::server, {}).kind, FailureKind::usage);
  const Refusal refusal = refused_settings(Side::client, {});
  EXPECT_EQ(refusal.kind, FailureKind::usage);
  EXPECT_THAT(refusal.text, HasSubstr("tls-hostname"));
}

TEST_F(TlsKeysTest, ExplainsPrioritiesThatCannotWork) {
  TlsSettings settings;
  settings.psk_file = keys_.write("keys.psk", two_users);
  const auto text = [&](const char* priority) {
    settings.priority = priority;
    return refused_settings(Side::server, settings).text;
  };
  EXPECT_THAT(text("NORMAL:+NONSENSE"), HasSubstr("is not understood"));
  EXPECT_THAT(text("NORMAL:-VERS-ALL"), HasSubstr("leaves no version"));
  EXPECT_THAT(text("NORMAL:-CIPHER-ALL"), HasSubstr("or no cipher"));
  EXPECT_THAT(text("NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM"), HasSubstr("SHA-256"));
  EXPECT_EQ(text("NORMAL:-VERS-TLS1.3"), "it was accepted");
}

TEST_F(TlsKeysTest, RefusesCertificatesThatDoNotFit) {
  keys_.make_authority("ca", "CA");
  keys_.make_certificate("good", "server", "ca", "cn=nas\n");
  keys_.make_certificate("old", "server", "ca",
                         "cn=nas\nactivation_date=\"2020-01-01 00:00:00\"\n"
                         "expiration_date=\"2021-01-02 00:00:00\"\n");
  TlsSettings settings;
  settings.verify_peer = false;
  const auto refused = [&](const std::string& folder) {
    settings.certificates = keys_.path(folder);
    return refused_settings(Side::server, settings);
  };
  EXPECT_EQ(refused("good").text, "it was accepted");
  EXPECT_EQ(refused("old").kind, FailureKind::refused);
  EXPECT_THAT(refused("old").text, HasSubstr("CN=nas expired on 2021-01-02"));

  keys_.make_folder("mixed");
  keys_.copy("good/server-cert.pem", "mixed/server-cert.pem");
  keys_.copy("old/server-key.pem", "mixed/server-key.pem");
  EXPECT_THAT(refused("mixed").text, HasSubstr("is not the key of the certificate"));
  keys_.write("mixed/server-key.pem", "no key at all");
  EXPECT_THAT(refused("mixed").text, HasSubstr("is not a private key"));
  keys_.write("good/server-cert.pem", "no certificate");
  EXPECT_THAT(refused("good").text, HasSubstr("has no certificate in PEM form"));
  ASSERT_EQ(::chmod(keys_.path("good/server-key.pem").c_str(), 0644), 0);
  EXPECT_THAT(refused("good").text, HasSubstr("chmod 600"));
  EXPECT_THAT(refused("nowhere").text, HasSubstr("No such file"));
}

TEST(TlsPriorityTest, PutsAesFirstWhereTheCpuHasIt) {
  PriorityWishes wishes;
  wishes.psk = true;
  wishes.cpu_has_aes = true;
  const std::string with = default_priority(wishes);
  EXPECT_LT(with.find("AES-128-GCM"), with.find("CHACHA20"));
  wishes.cpu_has_aes = false;
  const std::string without = default_priority(wishes);
  EXPECT_LT(without.find("CHACHA20"), without.find("AES-128-GCM"));
}

TEST(TlsPriorityTest, KeepsForwardSecrecyAndNothingElse) {
  for (int bits = 0; bits < 16; ++bits) {
    PriorityWishes wishes;
    wishes.psk = (bits & 1) != 0;
    wishes.certificates = (bits & 2) != 0;
    wishes.server = (bits & 4) != 0;
    wishes.cpu_has_aes = (bits & 8) != 0;
    for (const std::string& text : {default_priority(wishes), users_priority("NORMAL", wishes)}) {
      EXPECT_THAT(text, HasSubstr(":-KX-ALL"));
      EXPECT_EQ(text.find(":+PSK"), std::string::npos);
      EXPECT_EQ(text.find("+RSA"), std::string::npos);
      EXPECT_EQ(text.find("+ECDHE-PSK") != std::string::npos, wishes.psk);
      EXPECT_EQ(text.find("+ECDHE-RSA") != std::string::npos, wishes.certificates);
    }
  }
}

}  // namespace
}  // namespace nbdring
