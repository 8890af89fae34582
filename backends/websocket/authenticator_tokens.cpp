// make_token_authenticator(): the token store behind the authenticators' seam.

#include <chrono>
#include <mutex>
#include <utility>

#include "backends/websocket/authenticator_kinds.hpp"
#include "backends/websocket/token_store.hpp"

namespace nbdring {
namespace {

using Clock = std::chrono::steady_clock;

// Anybody can come with wrong tokens as fast as he likes: the log shows the first ones of a minute.
class RefusalsShown {
 public:
  enum class Show { line, last_line, nothing };

  Show next(Clock::time_point now) {
    const std::lock_guard lock(lock_);
    if (now - begin_ >= window) {
      begin_ = now;
      count_ = 0;
    }
    if (count_ == lines_max) return Show::nothing;
    ++count_;
    return count_ == lines_max ? Show::last_line : Show::line;
  }

 private:
  static constexpr std::chrono::seconds window{60};
  static constexpr int lines_max = 20;

  std::mutex lock_;
  Clock::time_point begin_{};
  int count_ = 0;
};

const char* words_of(TokenRefusal refusal) {
  switch (refusal) {
    case TokenRefusal::replayed:
      return "it has been used already";
    case TokenRefusal::expired:
      return "it has expired";
    case TokenRefusal::elsewhere:
      return "it is for another configuration";
    case TokenRefusal::unknown:
      break;
  }
  return "it is unknown, has been used, or its secret is wrong";
}

class TokenAuthenticator final : public Authenticator {
 public:
  TokenAuthenticator(const std::string& store, std::string default_name, Log& log)
      : store_(store), default_name_(std::move(default_name)), log_(log) {
    store_.check();
  }

  Verdict next(const Presented& presented) override {
    if (presented.token.empty()) return Denied{};
    const auto token = parse_token(presented.token);
    if (!token) {
      refuse("(malformed)", "it is no token", presented);
      return Denied{};
    }
    auto used = store_.use(*token, [&](const TokenRights& rights) {
      return presented.configuration.empty() || presented.configuration == configuration_of(rights);
    });
    if (const auto* refusal = std::get_if<TokenRefusal>(&used)) {
      refuse(token->id, words_of(*refusal), presented);
      return Denied{};
    }
    return grant(*token, std::move(std::get<TokenUse>(used)), presented);
  }

 private:
  const std::string& configuration_of(const TokenRights& rights) const {
    return rights.configuration.empty() ? default_name_ : rights.configuration;
  }

  Grant grant(const Token& token, TokenUse use, const Presented& presented) {
    Grant grant;
    grant.configuration = configuration_of(use.rights);
    grant.who = use.rights.label.empty() ? "token " + token.id : use.rights.label;
    grant.next_token = use.next.text();
    grant.read_only = use.rights.read_only;
    grant.renewal = std::move(use.renewal);
    log_.info("token used", {{"token", token.id},
                             {"who", grant.who},
                             {"configuration", grant.configuration},
                             {"next_token", use.next.id},
                             {"peer", presented.peer}});
    return grant;
  }

  void refuse(const std::string& id, const char* why, const Presented& presented) {
    const auto show = shown_.next(Clock::now());
    if (show == RefusalsShown::Show::nothing) return;
    log_.info("token refused", {{"token", id}, {"why", why}, {"peer", presented.peer}});
    if (show == RefusalsShown::Show::last_line) {
      log_.info("more refused tokens are not shown for a minute");
    }
  }

  TokenStore store_;
  std::string default_name_;
  Log& log_;
  RefusalsShown shown_;
};

}  // namespace

std::unique_ptr<Authenticator> make_token_authenticator(const std::string& store,
                                                        std::string default_name, Log& log) {
  return std::make_unique<TokenAuthenticator>(store, std::move(default_name), log);
}

}  // namespace nbdring
