#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>

#include "backends/websocket/authenticator_chain.hpp"
#include "backends/websocket/authenticator_kinds.hpp"
#include "backends/websocket/token_store.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

using testing::HasSubstr;
using testing::Not;

enum class Says { grant, deny, fail };

class Stub final : public Authenticator {
 public:
  Stub(Says says, std::string who, int& asked) : says_(says), who_(std::move(who)), asked_(asked) {}

  Verdict next(const Presented& presented) override {
    ++asked_;
    if (says_ == Says::deny) return Denied{};
    if (says_ == Says::fail) throw Failure(FailureKind::failed, who_ + " is broken");
    Grant grant;
    grant.configuration = presented.configuration.empty() ? "0" : presented.configuration;
    grant.who = who_;
    return grant;
  }

 private:
  Says says_;
  std::string who_;
  int& asked_;
};

class AuthenticatorTest : public testing::Test {
 protected:
  Method stub(Says says, const std::string& who) {
    return {who, [this, says, who] { return std::make_unique<Stub>(says, who, asked_); }};
  }
  Method broken(const std::string& name) {
    return {name, [name]() -> std::unique_ptr<Authenticator> {
              throw Failure(FailureKind::usage, name + " has no file");
            }};
  }

  std::string log_text() const {
    std::string text(64 * 1024, '\0');
    const ssize_t bytes = ::pread(log_file_.get(), text.data(), text.size(), 0);
    text.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
    return text;
  }

  // Who was let in; empty: denied.
  static std::string who(const Verdict& verdict) {
    const Grant* grant = std::get_if<Grant>(&verdict);
    return grant != nullptr ? grant->who : "";
  }
  static const Grant& granted(const Verdict& verdict) { return std::get<Grant>(verdict); }

  int asked_ = 0;
  FileDescriptor log_file_{::memfd_create("log", MFD_CLOEXEC)};
  Log log_{LogLevel::info, LogFormat::text, log_file_.get()};
  LiveSessions sessions_{{}, log_};
};

TEST_F(AuthenticatorTest, TheFirstThatGrantsWins) {
  AuthenticatorChain chain(
      {stub(Says::deny, "one"), stub(Says::grant, "two"), stub(Says::grant, "three")}, sessions_,
      log_);
  EXPECT_EQ(who(chain.next({})), "two");
  EXPECT_EQ(asked_, 2);
}

TEST_F(AuthenticatorTest, WhenAllDenyItIsDeniedWithoutAWordInTheLog) {
  AuthenticatorChain chain({stub(Says::deny, "one"), stub(Says::deny, "two")}, sessions_, log_);
  EXPECT_TRUE(std::holds_alternative<Denied>(chain.next({})));
  EXPECT_EQ(log_text(), "");
  EXPECT_EQ(sessions_.count(), 0U);
}

TEST_F(AuthenticatorTest, AFailureDoesNotStandInTheWayOfOneWhoGrants) {
  AuthenticatorChain chain({stub(Says::fail, "one"), stub(Says::grant, "two")}, sessions_, log_);
  EXPECT_EQ(who(chain.next({})), "two");
  EXPECT_THAT(log_text(), HasSubstr("one is broken"));
}

TEST_F(AuthenticatorTest, AFailureIsNoDenial) {
  AuthenticatorChain chain({stub(Says::fail, "one"), stub(Says::deny, "two")}, sessions_, log_);
  try {
    chain.next({});
    FAIL() << "no failure";
  } catch (const Failure& failure) {
    EXPECT_STREQ(failure.what(), "one is broken");
  }
  EXPECT_EQ(asked_, 2);
}

TEST_F(AuthenticatorTest, AMethodThatCannotStartIsNamedAndTheOthersLive) {
  AuthenticatorChain chain({broken("tokens"), stub(Says::grant, "two")}, sessions_, log_);
  EXPECT_THAT(log_text(), HasSubstr("cannot let anybody in by tokens: tokens has no file"));
  EXPECT_EQ(who(chain.next({})), "two");
}

TEST_F(AuthenticatorTest, WithoutAnyMethodThereIsNoChain) {
  EXPECT_THROW(AuthenticatorChain({broken("tokens")}, sessions_, log_), Failure);
  EXPECT_THROW(AuthenticatorChain({}, sessions_, log_), Failure);
}

TEST_F(AuthenticatorTest, AGrantBeginsASessionWhoseKeyLetsInAgain) {
  AuthenticatorChain chain({stub(Says::grant, "one")}, sessions_, log_);
  Presented first;
  first.configuration = "cellar";
  const Verdict verdict = chain.next(first);
  Presented again;
  again.session = granted(verdict).session_key;
  ASSERT_FALSE(again.session.empty());
  const Verdict second = chain.next(again);
  EXPECT_EQ(asked_, 1) << "nobody is asked twice";
  EXPECT_EQ(granted(second).configuration, "cellar");
  again.configuration = "cellar";
  EXPECT_EQ(who(chain.next(again)), "one");
  again.configuration = "attic";
  EXPECT_TRUE(std::holds_alternative<Denied>(chain.next(again))) << "it is bound to its own";
}

TEST_F(AuthenticatorTest, AKeyOfNoSessionIsNothing) {
  AuthenticatorChain chain({stub(Says::deny, "one")}, sessions_, log_);
  Presented presented;
  presented.session = "of-nobody";
  EXPECT_TRUE(std::holds_alternative<Denied>(chain.next(presented)));
}

TEST_F(AuthenticatorTest, InsecureLetsEverybodyIn) {
  const auto insecure = make_insecure_authenticator("default");
  Presented presented;
  EXPECT_EQ(granted(insecure->next(presented)).configuration, "default");
  presented.configuration = "attic";
  EXPECT_EQ(granted(insecure->next(presented)).configuration, "attic");
}

class TlsAuthenticatorTest : public AuthenticatorTest {
 protected:
  // The configuration that is granted; empty: denied.
  std::string ask(const std::string& user, const std::string& configuration) {
    Presented presented;
    presented.is_encrypted = true;
    presented.tls.peer = user;
    presented.configuration = configuration;
    const Verdict verdict = authenticator_->next(presented);
    const Grant* grant = std::get_if<Grant>(&verdict);
    return grant != nullptr ? grant->configuration : "";
  }

  const std::unique_ptr<Authenticator> authenticator_ = make_tls_authenticator(
      {{{"0", {"alice", "CN=bob,O=house"}}, {"1", {"alice", "carol", "dave"}}, {"2", {"dave"}}},
       "0"});
};

TEST_F(TlsAuthenticatorTest, LetsInWhomTheConfigurationLists) {
  EXPECT_EQ(ask("alice", "0"), "0");
  EXPECT_EQ(ask("alice", "1"), "1");
  EXPECT_EQ(ask("CN=bob,O=house", "0"), "0");
  EXPECT_EQ(ask("carol", "0"), "");
  EXPECT_EQ(ask("CN=bob", "0"), "");
  EXPECT_EQ(ask("alice", "2"), "");
  EXPECT_EQ(ask("alice", "no such"), "");
  EXPECT_EQ(ask("", "0"), "");
}

TEST_F(TlsAuthenticatorTest, WhoNamesNoneGetsTheDefaultOrTheOnlyOne) {
  EXPECT_EQ(ask("alice", ""), "0");
  EXPECT_EQ(ask("carol", ""), "1");
  EXPECT_EQ(ask("dave", ""), "") << "two, and neither is the default";
  EXPECT_EQ(ask("nobody", ""), "");
}

TEST_F(TlsAuthenticatorTest, ANameWithoutTlsIsNothing) {
  Presented presented;
  presented.tls.peer = "alice";
  EXPECT_TRUE(std::holds_alternative<Denied>(authenticator_->next(presented)));
}

class TokenAuthenticatorTest : public AuthenticatorTest {
 protected:
  Token make(const std::string& configuration, const std::string& label = "") {
    TokenRights rights;
    rights.configuration = configuration;
    rights.label = label;
    return TokenStore(path_).create(rights);
  }

  static Presented with(const std::string& token, const std::string& configuration = "") {
    Presented presented;
    presented.token = token;
    presented.configuration = configuration;
    presented.peer = "192.0.2.7";
    return presented;
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_ / "tokens";
  AuthenticatorChain chain_{
      {{"tokens", [this] { return make_token_authenticator(path_, "0", log_); }}}, sessions_, log_};
};

TEST_F(TokenAuthenticatorTest, TwoTokensTwoDestinations) {
  const Token one = make("cellar");
  const Token two = make("attic");
  EXPECT_EQ(granted(chain_.next(with(one.text()))).configuration, "cellar");
  EXPECT_EQ(granted(chain_.next(with(two.text(), "attic"))).configuration, "attic");
}

TEST_F(TokenAuthenticatorTest, AUsedTokenIsRefusedAndTheLogSaysSoAtInfo) {
  const Token token = make("cellar", "alice");
  const Verdict first = chain_.next(with(token.text()));
  EXPECT_EQ(who(first), "alice");
  EXPECT_TRUE(std::holds_alternative<Denied>(chain_.next(with(token.text()))));
  const std::string log = log_text();
  EXPECT_THAT(log, HasSubstr("has been used already"));
  EXPECT_THAT(log, HasSubstr("192.0.2.7"));
  EXPECT_THAT(log, HasSubstr(token.id));
  EXPECT_THAT(log, Not(HasSubstr(token.text().substr(17)))) << "never the secret";
  EXPECT_THAT(log, Not(HasSubstr("error")));
  EXPECT_EQ(who(chain_.next(with(granted(first).next_token))), "alice");
}

TEST_F(TokenAuthenticatorTest, TheKeyOfItsSessionProvesThatTheSuccessorArrived) {
  const Token token = make("cellar");
  const Verdict first = chain_.next(with(token.text()));
  EXPECT_EQ(TokenStore(path_).list().size(), 2U);
  Presented again = with(token.text());  // a browser's second websocket shows both
  again.session = granted(first).session_key;
  EXPECT_EQ(granted(chain_.next(again)).configuration, "cellar");
  EXPECT_EQ(TokenStore(path_).list().size(), 1U) << "the used token is forgotten";
}

TEST_F(TokenAuthenticatorTest, ASessionThatNeverBeganLeavesTheTokenGood) {
  const Token token = make("cellar");
  const Verdict first = chain_.next(with(token.text()));
  sessions_.end(granted(first).session_key);  // as when the gateway has no place for it
  EXPECT_TRUE(std::holds_alternative<Grant>(chain_.next(with(token.text()))));
}

TEST_F(TokenAuthenticatorTest, ATokenForNoneInParticularIsForTheDefault) {
  EXPECT_EQ(granted(chain_.next(with(make("").text()))).configuration, "0");
  EXPECT_EQ(granted(chain_.next(with(make("").text(), "0"))).configuration, "0");
  EXPECT_TRUE(std::holds_alternative<Denied>(chain_.next(with(make("").text(), "attic"))));
}

TEST_F(TokenAuthenticatorTest, ATokenForAnotherConfigurationStaysGood) {
  const Token token = make("cellar");
  EXPECT_TRUE(std::holds_alternative<Denied>(chain_.next(with(token.text(), "attic"))));
  EXPECT_THAT(log_text(), HasSubstr("for another configuration"));
  EXPECT_TRUE(std::holds_alternative<Grant>(chain_.next(with(token.text(), "cellar"))));
}

TEST_F(TokenAuthenticatorTest, WhatIsNoTokenIsDenied) {
  for (const char* text : {"", "x", "0123456789abcdef:", "\n\n"}) {
    EXPECT_TRUE(std::holds_alternative<Denied>(chain_.next(with(text)))) << text;
  }
  EXPECT_THAT(log_text(), Not(HasSubstr("\n\n"))) << "a stranger's bytes do not reach the log";
}

TEST_F(TokenAuthenticatorTest, AStoreThatCannotBeReadIsAFailure) {
  const Token token = make("cellar");
  std::ofstream(path_) << "rubbish\n";
  EXPECT_THROW(chain_.next(with(token.text())), Failure);
  EXPECT_THROW(make_token_authenticator(path_, "0", log_), Failure);
}

TEST_F(TokenAuthenticatorTest, AFloodOfWrongTokensDoesNotFloodTheLog) {
  for (int i = 0; i < 1000; ++i) chain_.next(with(Token::random().text()));
  const std::string log = log_text();
  EXPECT_LE(std::count(log.begin(), log.end(), '\n'), 42) << "two windows at the most";
  EXPECT_THAT(log, HasSubstr("more refused tokens are not shown"));
}

}  // namespace
}  // namespace nbdring
