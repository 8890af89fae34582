// The options of `serve` that decide who may read its traffic.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cli/options.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

TlsSettings tls_of(const std::string& options) {
  std::istringstream stream("nbdring serve x --unix /s " + options);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return std::get<ServeCommand>(parse_command_line(words).command).tls;
}

TEST(ServeOptions, KeysMeanThatTlsIsRequired) {
  EXPECT_EQ(tls_of("").policy, TlsPolicy::off);
  EXPECT_EQ(tls_of("--tls-psk k").policy, TlsPolicy::require);
  EXPECT_EQ(tls_of("--tls-certificates d").policy, TlsPolicy::require);
  EXPECT_EQ(tls_of("--tls-psk k --tls allow").policy, TlsPolicy::allow);
  EXPECT_EQ(tls_of("--tls-psk k --tls off").policy, TlsPolicy::off);
}

TEST(ServeOptions, TakesEveryPartOfTls) {
  const TlsSettings tls =
      tls_of("--tls-psk k --tls-certificates d --tls-verify-peer --tls-priority NORMAL");
  EXPECT_EQ(tls.psk_file, "k");
  EXPECT_EQ(tls.certificates, "d");
  EXPECT_TRUE(tls.verify_peer);
  EXPECT_EQ(tls.priority, "NORMAL");
  EXPECT_FALSE(tls_of("--tls-certificates d").verify_peer);
}

TEST(ServeOptions, RefusesTlsThatCannotBe) {
  for (const char* options : {"--tls require", "--tls allow", "--tls-psk k --tls maybe",
                              "--tls-psk k --tls-verify-peer"}) {
    try {
      tls_of(options);
      FAIL() << options << " was accepted";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::usage) << options;
    }
  }
}

}  // namespace
}  // namespace nbdring
