#include <gmock/gmock.h>

#include <sstream>

#include "cli/options.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using testing::HasSubstr;
using std::chrono_literals::operator""h;
using std::chrono_literals::operator""min;

TokenCommand parse(const std::string& text) {
  std::vector<std::string> words{"nbdring", "token"};
  std::istringstream stream(text);
  for (std::string word; stream >> word;) words.push_back(word);
  return std::get<TokenCommand>(parse_command_line(words).command);
}

std::string refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::usage);
    return failure.what();
  }
  return "taken";
}

TEST(TokenOptions, CreateTakesWhatATokenIsMadeOf) {
  const auto command = parse(
      "create --configuration cellar --label alice -r --expires 7d --url https://h:1/x --store /s");
  EXPECT_EQ(command.action, TokenAction::create);
  EXPECT_EQ(command.configuration, "cellar");
  EXPECT_EQ(command.label, "alice");
  EXPECT_TRUE(command.read_only);
  EXPECT_EQ(command.expires, 7 * 24h);
  EXPECT_EQ(command.url, "https://h:1/x");
  EXPECT_EQ(command.store, "/s");
  const auto plain = parse("create");
  EXPECT_EQ(plain.expires, 30 * 24h);
  EXPECT_FALSE(plain.read_only || plain.store);
}

TEST(TokenOptions, ALifetimeHasAUnitAndAnEnd) {
  EXPECT_EQ(parse("create --expires 1m").expires, 1min);
  EXPECT_EQ(parse("create --expires 12h").expires, 12h);
  EXPECT_EQ(parse("create --expires 520w").expires, 520 * 7 * 24h);
  EXPECT_EQ(parse("create --expires never").expires, std::nullopt);
  for (const char* wrong : {"7", "d", "-1d", "+1d", "1.5h", "0m", "3651d", "1y", "1dd", "1d1h",
                            "99999999999999999999m"}) {
    EXPECT_THAT(refusal(std::string("create --expires ") + wrong), HasSubstr("--expires")) << wrong;
  }
}

TEST(TokenOptions, AUrlIsAGatewaysAddress) {
  for (const char* wrong : {"host", "ws://h/", "https://", "https:///x", "https://h/#a"}) {
    EXPECT_THAT(refusal(std::string("create --url ") + wrong), HasSubstr("--url")) << wrong;
  }
  EXPECT_EQ(parse("create --url http://[::1]:80").url, "http://[::1]:80");
}

TEST(TokenOptions, RevokeTakesOneOrAll) {
  EXPECT_EQ(parse("revoke 0123456789abcdef").id, "0123456789abcdef");
  EXPECT_TRUE(parse("revoke --all").all);
  EXPECT_THAT(refusal("revoke"), HasSubstr("--all"));
  EXPECT_THAT(refusal("revoke 0123456789abcdef --all"), HasSubstr("--all"));
  EXPECT_THAT(refusal("revoke 0123456789abcdef:secret"), testing::Not(HasSubstr("secret")));
}

TEST(TokenOptions, EachOptionBelongsToItsAction) {
  EXPECT_TRUE(parse("list --json").json);
  for (const char* wrong : {"list --label x", "list --all", "list --expires 1d", "create --json",
                            "create 0123456789abcdef", "revoke --all --read-only"}) {
    EXPECT_THAT(refusal(wrong), HasSubstr("is not understood here")) << wrong;
  }
  EXPECT_THAT(refusal("make"), HasSubstr("create, list or revoke"));
}

}  // namespace
}  // namespace nbdring
