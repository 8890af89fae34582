#include "backends/websocket/token_store.hpp"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gnutls/crypto.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include "client/runtime/error.hpp"
#include "tests/backends/websocket_token_fixture.hpp"

namespace {

// What a refusal costs is counted where it is paid, at GnuTLS's door: no clock, so no chance.
thread_local unsigned derivations = 0;
thread_local unsigned decryptions = 0;

template <typename Function>
Function* original(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" int gnutls_hkdf_extract(gnutls_mac_algorithm_t mac, const gnutls_datum_t* key,
                                   const gnutls_datum_t* salt, void* output) {
  ++derivations;
  static auto* const real = original<decltype(gnutls_hkdf_extract)>("gnutls_hkdf_extract");
  return real(mac, key, salt, output);
}

extern "C" int gnutls_aead_cipher_decrypt(gnutls_aead_cipher_hd_t handle, const void* nonce,
                                          size_t nonce_len, const void* auth, size_t auth_len,
                                          size_t tag_size, const void* ctext, size_t ctext_len,
                                          void* ptext, size_t* ptext_len) {
  ++decryptions;
  static auto* const real =
      original<decltype(gnutls_aead_cipher_decrypt)>("gnutls_aead_cipher_decrypt");
  return real(handle, nonce, nonce_len, auth, auth_len, tag_size, ctext, ctext_len, ptext,
              ptext_len);
}

namespace nbdring {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(TokenStoreTest, ATokenOpensItsDestinationOnceAndASuccessorFollows) {
  TokenRights wanted = rights("cellar");
  wanted.label = "alice";
  wanted.read_only = true;
  const Token token = store_.create(wanted);
  const auto first = use(token);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->rights.configuration, "cellar");
  EXPECT_EQ(first->rights.label, "alice");
  EXPECT_TRUE(first->rights.read_only);
  EXPECT_EQ(refusal(token), TokenRefusal::replayed);
  EXPECT_NE(first->next.id, token.id);
  const auto second = use(first->next);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->rights.configuration, "cellar");
  EXPECT_TRUE(second->rights.read_only);
  EXPECT_EQ(refusal(first->next), TokenRefusal::replayed);
}

TEST_F(TokenStoreTest, ATokensTextIsReadBack) {
  const Token token = store_.create(rights("0"));
  const auto parsed = parse_token(token.text());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->id, token.id);
  EXPECT_TRUE(use(*parsed));
}

TEST_F(TokenStoreTest, AWrongSecretIsRefusedAndUsesNothingUp) {
  const Token token = store_.create(rights("0"));
  EXPECT_EQ(refusal(Token{token.id, Secret::random()}), TokenRefusal::unknown);
  EXPECT_EQ(refusal(Token::random()), TokenRefusal::unknown);
  EXPECT_TRUE(use(token));
}

TEST_F(TokenStoreTest, ATokenForSomethingElseIsNotUsedUp) {
  const Token token = store_.create(rights("cellar"));
  const auto elsewhere =
      store_.use(token, [](const TokenRights& found) { return found.configuration == "attic"; });
  ASSERT_TRUE(std::holds_alternative<TokenRefusal>(elsewhere));
  EXPECT_EQ(std::get<TokenRefusal>(elsewhere), TokenRefusal::elsewhere);
  EXPECT_TRUE(use(token));
}

TEST_F(TokenStoreTest, AfterSettlingTheUsedTokenIsForgotten) {
  const Token token = store_.create(rights("0"));
  auto used = use(token);
  used->renewal->settle();
  used->renewal->settle();
  used->renewal.reset();
  EXPECT_EQ(refusal(token), TokenRefusal::unknown);
  EXPECT_THAT(file_text(), Not(HasSubstr(token.id)));
  EXPECT_TRUE(use(used->next));
}

TEST_F(TokenStoreTest, AnAnswerThatWasLostLocksNobodyOut) {
  const Token token = store_.create(rights("cellar"));
  const auto lost = use(token)->next;  // its Renewal is gone unsettled
  const auto again = use(token);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->rights.configuration, "cellar");
  EXPECT_FALSE(use(lost)) << "the one use that was left is taken";
  EXPECT_EQ(refusal(token), TokenRefusal::replayed);
  EXPECT_TRUE(use(again->next));
}

TEST_F(TokenStoreTest, ASuccessorThatArrivedEndsTheUsedToken) {
  const Token token = store_.create(rights("cellar"));
  const auto arrived = use(token)->next;
  const auto later = use(arrived);
  ASSERT_TRUE(later);
  EXPECT_EQ(refusal(token), TokenRefusal::unknown);
}

TEST_F(TokenStoreTest, AnswersAreLostAgainAndAgain) {
  const Token token = store_.create(rights("cellar"));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(use(token)) << i;
  EXPECT_EQ(count_lines(store_.list(), TokenState::valid), 1U);
  EXPECT_EQ(count_lines(store_.list(), TokenState::spent), 1U);
}

TEST_F(TokenStoreTest, EveryRefusalCostsTheSame) {
  const Token valid = store_.create(rights("0"));
  const Token spent = store_.create(rights("1"));
  const Token settled = store_.create(rights("2"));
  const auto held = use(spent);
  use(settled)->renewal->settle();
  const Token refused[] = {Token::random(), Token{valid.id, Secret::random()},
                           Token{spent.id, Secret::random()}, settled};
  for (const Token& token : refused) {
    derivations = decryptions = 0;
    EXPECT_EQ(refusal(token), TokenRefusal::unknown);
    EXPECT_EQ(derivations, 1U);
    EXPECT_EQ(decryptions, 1U);
  }
}

TEST_F(TokenStoreTest, RefusalsWriteNothing) {
  const Token token = store_.create(rights("0"));
  const auto written = std::filesystem::last_write_time(path_);
  std::filesystem::remove(path_ + ".lock");
  refusal(Token{token.id, Secret::random()});
  refusal(Token::random());
  EXPECT_EQ(std::filesystem::last_write_time(path_), written);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".lock"));
}

TEST_F(TokenStoreTest, TheFileTellsNeitherDestinationNorLabelNorSecretNorWhoFollowsWhom) {
  TokenRights wanted = rights("the-cellar-of-the-old-house");
  wanted.label = "alice-and-bob";
  const Token token = store_.create(wanted);
  const auto used = use(token);
  const std::string text = file_text();
  EXPECT_THAT(text, Not(HasSubstr("cellar")));
  EXPECT_THAT(text, Not(HasSubstr("alice")));
  EXPECT_THAT(text, Not(HasSubstr(encode_base64url(token.secret.bytes()))));
  EXPECT_THAT(text, Not(HasSubstr(encode_base64url(used->next.secret.bytes()))));
  // Decoded, too; and the ids stand once each, at the beginning of their own lines.
  for (const TokenLine& line : store_.list()) {
    const std::string sealed(reinterpret_cast<const char*>(line.sealed.data()), line.sealed.size());
    for (const auto& word : {wanted.configuration, wanted.label, token.id, used->next.id}) {
      EXPECT_THAT(sealed, Not(HasSubstr(word)));
    }
  }
  for (const auto& id : {token.id, used->next.id}) {
    EXPECT_EQ(text.find(id), text.rfind(id));
  }
}

TEST_F(TokenStoreTest, LinesAreOfOneLengthWhateverTheyHold) {
  store_.create(rights(""));
  TokenRights longest = rights(std::string(token_configuration_bytes_max, 'c'));
  longest.label = std::string(token_label_bytes_max, 'l');
  const auto used = use(store_.create(longest));
  EXPECT_EQ(used->rights.configuration, longest.configuration);
  EXPECT_EQ(used->rights.label, longest.label);
  std::set<std::size_t> sizes;
  for (const TokenLine& line : store_.list()) sizes.insert(line.sealed.size());
  EXPECT_EQ(sizes.size(), 1U);
  ASSERT_EQ(store_.list().size(), 3U);
}

TEST_F(TokenStoreTest, SecondsAreNotToldSoThatBirthsAndDeathsDoNotMatch) {
  now_ += std::chrono::hours(5);
  TokenRights wanted = rights("0");
  wanted.expires = std::chrono::floor<std::chrono::seconds>(now_ + std::chrono::hours(30));
  const Token token = store_.create(wanted);
  now_ += std::chrono::hours(1);
  const auto used = use(token);
  EXPECT_THAT(file_text(), HasSubstr("valid " + used->next.id + " 2026-11-21 2026-11-22 "));
  EXPECT_THAT(file_text(), HasSubstr("spent " + token.id + " 2026-11-21 2026-11-28 "));
}

TEST_F(TokenStoreTest, AnExpiredTokenIsRefusedAndThenPruned) {
  TokenRights wanted = rights("0");
  wanted.expires = std::chrono::floor<std::chrono::seconds>(now_ + std::chrono::minutes(10));
  const Token token = store_.create(wanted);
  now_ += std::chrono::minutes(10) - std::chrono::seconds(1);
  const auto used = use(token);
  ASSERT_TRUE(used) << "a second before";
  now_ += std::chrono::seconds(1);
  EXPECT_EQ(refusal(used->next), TokenRefusal::expired) << "the successor has no longer life";
  now_ += std::chrono::days(1);
  EXPECT_EQ(count_lines(store_.list(), TokenState::valid), 0U);
  store_.create(rights("1"));
  EXPECT_THAT(file_text(), Not(HasSubstr(used->next.id)));
}

TEST_F(TokenStoreTest, NobodyLengthensATokensLife) {
  TokenRights wanted = rights("0");
  wanted.expires = std::chrono::floor<std::chrono::seconds>(now_ + std::chrono::days(1));
  const Token token = store_.create(wanted);
  std::string text = file_text();
  const std::size_t at = text.find("2026-11-22");
  ASSERT_NE(at, std::string::npos);
  std::ofstream(path_) << text.replace(at, 10, "2036-11-22");
  EXPECT_EQ(refusal(token), TokenRefusal::unknown);
}

TEST_F(TokenStoreTest, NobodyPutsOneTokensDestinationUnderAnothersId) {
  const Token mine = store_.create(rights("mine"));
  const Token yours = store_.create(rights("yours"));
  TokenLines lines = store_.list();
  const auto stolen = find_line(lines, TokenState::valid, yours.id)->sealed;
  TokenLine line = *find_line(lines, TokenState::valid, mine.id);
  line.sealed = stolen;
  remove_line(lines, TokenState::valid, mine.id);
  add_line(lines, line);
  std::ofstream(path_) << format_token_lines(lines);
  EXPECT_FALSE(use(mine));
  EXPECT_FALSE(use(Token{mine.id, yours.secret}));
}

TEST_F(TokenStoreTest, RevokingEndsAToken) {
  const Token token = store_.create(rights("0"));
  const Token other = store_.create(rights("1"));
  EXPECT_TRUE(store_.revoke(token.id));
  EXPECT_FALSE(store_.revoke(token.id));
  EXPECT_FALSE(use(token));
  EXPECT_TRUE(use(other));
}

TEST_F(TokenStoreTest, RevokingASuccessorEndsTheUsedTokenToo) {
  const Token token = store_.create(rights("0"));
  const auto lost = use(token)->next;
  EXPECT_TRUE(store_.revoke(lost.id));
  EXPECT_EQ(refusal(token), TokenRefusal::replayed);
}

TEST_F(TokenStoreTest, RevokingAllLeavesNothing) {
  const Token token = store_.create(rights("0"));
  store_.create(rights("1"));
  const auto lost = use(token)->next;
  EXPECT_EQ(store_.revoke_all(), 2U);
  EXPECT_FALSE(use(token));
  EXPECT_FALSE(use(lost));
  EXPECT_TRUE(store_.list().empty());
}

TEST_F(TokenStoreTest, AFullStoreTakesNoMoreAndStillWorks) {
  TokenLines lines;
  for (std::size_t i = 0; i < token_lines_max - 1; ++i) {
    TokenLine line = line_of_nobody();
    line.id = Token::random().id;
    line.created = std::chrono::floor<std::chrono::days>(now_);
    add_line(lines, line);
  }
  std::ofstream(path_) << format_token_lines(lines);
  std::filesystem::permissions(path_, std::filesystem::perms(0600));
  const Token last = store_.create(rights("0"));
  try {
    store_.create(rights("1"));
    FAIL() << "one too many";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::busy);
    EXPECT_THAT(failure.what(), HasSubstr("1024"));
  }
  EXPECT_TRUE(use(last));
  EXPECT_LT(std::filesystem::file_size(path_), key_file_bytes_max);
}

TEST_F(TokenStoreTest, OfManyWhoComeWithOneTokenOneGetsIn) {
  const Token token = store_.create(rights("0"));
  std::atomic<int> granted{0};
  std::vector<std::shared_ptr<Renewal>> held(8);
  std::vector<std::thread> threads;
  for (auto& renewal : held) {
    threads.emplace_back([this, &token, &granted, &renewal] {
      if (auto used = use(token)) {
        renewal = used->renewal;
        ++granted;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(granted, 1);
}

TEST_F(TokenStoreTest, ManyTokensAreUsedAtOnceAndNoneIsLost) {
  std::vector<Token> tokens;
  for (int i = 0; i < 8; ++i) tokens.push_back(store_.create(rights(std::to_string(i))));
  std::vector<std::thread> threads;
  for (Token& token : tokens) {
    threads.emplace_back([this, &token] {
      for (int round = 0; round < 5; ++round) {
        auto used = use(token);
        ASSERT_TRUE(used);
        used->renewal->settle();
        token = used->next;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(store_.list().size(), tokens.size());
}

class TokenStorePrivacy : public TokenStoreTest {
 protected:
  void expect_refused(const std::string& words) {
    try {
      store_.check();
      FAIL() << "taken";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::refused);
      EXPECT_THAT(failure.what(), HasSubstr(words));
    }
  }
};

TEST_F(TokenStorePrivacy, FilesAreForTheirOwnerAlone) {
  const TokenStore store(folder_ / "new/tokens");
  store.create(rights("0"));
  const auto mode_of = [&](const std::string& name) {
    struct stat found {};
    EXPECT_EQ(::stat((folder_ / name).c_str(), &found), 0) << name;
    return found.st_mode & 07777;
  };
  EXPECT_EQ(mode_of("new"), 0700U);
  EXPECT_EQ(mode_of("new/tokens"), 0600U);
  EXPECT_EQ(mode_of("new/tokens.lock"), 0600U);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "new/tokens.new"));
}

TEST_F(TokenStorePrivacy, AStoreThatOthersCanReadIsRefused) {
  const Token token = store_.create(rights("0"));
  ASSERT_EQ(::chmod(path_.c_str(), 0640), 0);
  expect_refused("0640");
  EXPECT_THROW(use(token), Failure);
}

TEST_F(TokenStorePrivacy, AFolderThatOthersCanWriteToIsRefused) {
  store_.create(rights("0"));
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0770), 0);
  expect_refused("others may write to");
}

TEST_F(TokenStorePrivacy, ASymbolicLinkIsRefused) {
  store_.create(rights("0"));
  std::filesystem::rename(path_, folder_ / "elsewhere");
  std::filesystem::create_symlink(folder_ / "elsewhere", path_);
  expect_refused("symbolic link");
}

TEST_F(TokenStorePrivacy, NoStoreIsAnEmptyOne) {
  EXPECT_TRUE(store_.list().empty());
  EXPECT_TRUE(TokenStore(folder_ / "absent/tokens").list().empty());
  EXPECT_EQ(refusal(Token::random()), TokenRefusal::unknown);
}

}  // namespace
}  // namespace nbdring
