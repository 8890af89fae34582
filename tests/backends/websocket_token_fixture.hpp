#pragma once
// A token store in a folder of its own, with a clock that the test moves.

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "backends/websocket/token_store.hpp"
#include "tests/cli/temporary_folder.hpp"

namespace nbdring {

inline bool admit_all(const TokenRights&) { return true; }

class TokenStoreTest : public testing::Test {
 protected:
  static TokenRights rights(std::string configuration) {
    TokenRights made;
    made.configuration = std::move(configuration);
    return made;
  }

  /// The use, or nothing when it was refused.
  static std::optional<TokenUse> use(const TokenStore& store, const Token& token) {
    auto used = store.use(token, &admit_all);
    if (auto* granted = std::get_if<TokenUse>(&used)) return std::move(*granted);
    return std::nullopt;
  }
  std::optional<TokenUse> use(const Token& token) const { return use(store_, token); }

  std::optional<TokenRefusal> refusal(const Token& token) const {
    const auto used = store_.use(token, &admit_all);
    const auto* refused = std::get_if<TokenRefusal>(&used);
    return refused != nullptr ? std::optional(*refused) : std::nullopt;
  }

  std::string file_text() const {
    std::ifstream file(path_);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_ / "tokens";
  std::chrono::system_clock::time_point now_ =
      std::chrono::sys_days(std::chrono::year(2026) / 11 / 21);
  TokenStore store_{path_, [this] { return now_; }};
};

}  // namespace nbdring
