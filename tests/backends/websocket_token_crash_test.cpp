// What is left of a token when the process that takes it dies, and when two take it at once.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "backends/websocket/token_store.hpp"
#include "tests/backends/websocket_token_fixture.hpp"
#include "tests/support/stepped_child.hpp"

namespace nbdring {
namespace {

const std::set<std::uint64_t> renames{
#ifdef SYS_rename
    SYS_rename,
#endif
    SYS_renameat, SYS_renameat2};

class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0); }
  ~Pipe() {
    close_reading();
    close_writing();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  void put(std::string_view text) const {
    if (::write(ends_[1], text.data(), text.size()) < 0) ::_exit(1);
  }
  // Up to `most` bytes, waiting for all of them; fewer when nobody can write any more.
  std::string take(std::size_t most) const {
    std::string text(most, '\0');
    std::size_t have = 0;
    while (have < most) {
      const ssize_t bytes = ::read(ends_[0], text.data() + have, most - have);
      if (bytes <= 0) break;
      have += static_cast<std::size_t>(bytes);
    }
    text.resize(have);
    return text;
  }
  void close_reading() { close(0); }
  void close_writing() { close(1); }

 private:
  void close(std::size_t which) {
    if (ends_.at(which) >= 0) ::close(ends_.at(which));
    ends_.at(which) = -1;
  }
  std::array<int, 2> ends_{-1, -1};
};

class TokenCrash : public TokenStoreTest {
 protected:
  // A fresh copy of the store as it was before the use.
  std::string copy(const std::string& from, const std::string& name) const {
    std::filesystem::remove_all(folder_ / name);
    std::filesystem::copy(folder_ / from, folder_ / name);
    return folder_ / name + "/tokens";
  }

  struct Left {
    std::optional<SteppedRun> run;
    std::optional<Token> successor;  // that the holder got to see
  };

  // Uses the token, tells its holder the successor, and settles; dies before call `kill_at`.
  Left crash(const std::string& path, const Token& token,
             std::optional<std::size_t> kill_at) const {
    Pipe answer;
    const auto work = [&] {
      const auto used = use(TokenStore(path), token);
      if (!used) ::_exit(2);
      answer.put(used->next.text());
      used->renewal->settle();
    };
    Left left;
    left.run = run_stepped(work, kill_at);
    answer.close_writing();
    left.successor = parse_token(answer.take(token.text().size()));
    return left;
  }

  // How many of the tokens are good, tried in this order by somebody who goes on trying.
  static int count_good(const std::string& path, const std::vector<Token>& tokens) {
    std::vector<TokenUse> used;
    for (const Token& token : tokens) {
      if (auto granted = use(TokenStore(path), token)) used.push_back(std::move(*granted));
    }
    return static_cast<int>(used.size());
  }
};

TEST_F(TokenCrash, AtEveryStepExactlyOneTokenIsLeftAndItsHolderHasIt) {
  std::filesystem::create_directory(folder_ / "before");
  std::filesystem::permissions(folder_ / "before", std::filesystem::perms(0700));
  const Token token = TokenStore(folder_ / "before/tokens").create(rights("cellar"));
  std::size_t after_the_answer = 0;
  for (std::size_t step = 0;; ++step) {
    ASSERT_LT(step, 1000U);
    const Left left = crash(copy("before", "crashed"), token, step);
    if (!left.run) GTEST_SKIP() << "this machine does not let processes be traced";
    std::vector<Token> known{token};
    if (left.successor) known.push_back(*left.successor);
    EXPECT_EQ(count_good(copy("crashed", "one"), known), 1) << "before call " << step;
    std::reverse(known.begin(), known.end());
    EXPECT_EQ(count_good(copy("crashed", "other"), known), 1) << "before call " << step;
    if (left.successor) ++after_the_answer;
    if (!left.run->was_killed) break;
  }
  EXPECT_GT(after_the_answer, 10U) << "it was never killed between the answer and its settling";
  // The last one ran to its end.
  EXPECT_EQ(count_good(copy("crashed", "one"), {token}), 0);
}

// A crash of the machine: what is renamed is on the disk before, and the name after.
TEST_F(TokenCrash, TheFileIsOnTheDiskBeforeItsNameAndTheNameBeforeTheAnswer) {
  const Token token = store_.create(rights("cellar"));
  const Left left = crash(path_, token, std::nullopt);
  if (!left.run) GTEST_SKIP() << "this machine does not let processes be traced";
  const auto& calls = left.run->calls;
  std::string order;
  for (const std::uint64_t call : calls) {
    if (renames.count(call) > 0) order += 'r';
    if (call == SYS_fsync) order += 's';
    if (call == SYS_write) order += 'w';
  }
  // The use, the answer, the settling. Sanitizers write to a pipe of their own now and then.
  EXPECT_THAT(order, testing::MatchesRegex("w+srsw+srsw*"));
}

TEST_F(TokenCrash, OfTwoProcessesWithOneTokenOneGetsIn) {
  for (int round = 0; round < 20; ++round) {
    const Token token = store_.create(rights("cellar"));
    Pipe start;
    Pipe answers;
    Pipe end;
    std::array<pid_t, 2> children{};
    for (pid_t& child : children) {
      child = ::fork();
      ASSERT_GE(child, 0);
      if (child != 0) continue;
      start.close_writing();
      end.close_writing();
      start.take(1);
      const auto used = use(token);
      answers.put(used ? "g" : "r");
      end.take(1);
      ::_exit(0);
    }
    start.close_writing();
    std::string both = answers.take(2);
    end.close_writing();
    for (const pid_t child : children) ::waitpid(child, nullptr, 0);
    std::sort(both.begin(), both.end());
    EXPECT_EQ(both, "gr");
  }
}

TEST_F(TokenCrash, WhoDiedLetsTheUsedTokenBeGoodAgainAndWhoLivesDoesNot) {
  const Token token = store_.create(rights("cellar"));
  Pipe answer;
  Pipe end;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    end.close_writing();
    const auto used = use(token);
    answer.put(used ? "g" : "r");
    end.take(1);
    ::_exit(0);
  }
  ASSERT_EQ(answer.take(1), "g");
  EXPECT_EQ(refusal(token), TokenRefusal::replayed);
  end.close_writing();
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(use(token));
}

}  // namespace
}  // namespace nbdring
