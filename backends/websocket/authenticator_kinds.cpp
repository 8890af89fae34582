#include "backends/websocket/authenticator_kinds.hpp"

#include <algorithm>
#include <utility>

namespace nbdring {
namespace {

class InsecureAuthenticator final : public Authenticator {
 public:
  explicit InsecureAuthenticator(std::string default_name)
      : default_name_(std::move(default_name)) {}

  Verdict next(const Presented& presented) override {
    Grant grant;
    grant.configuration = presented.configuration.empty() ? default_name_ : presented.configuration;
    grant.who = "anybody";
    return grant;
  }

 private:
  std::string default_name_;
};

class TlsAuthenticator final : public Authenticator {
 public:
  explicit TlsAuthenticator(TlsUsers users) : users_(std::move(users)) {}

  Verdict next(const Presented& presented) override {
    if (!presented.is_encrypted || presented.tls.peer.empty()) return Denied{};
    const std::string& who = presented.tls.peer;
    const std::string name =
        presented.configuration.empty() ? choose(who) : presented.configuration;
    if (!is_listed(name, who)) return Denied{};
    Grant grant;
    grant.configuration = name;
    grant.who = who;
    return grant;
  }

 private:
  bool is_listed(const std::string& name, const std::string& who) const {
    const auto at = users_.users.find(name);
    return at != users_.users.end() &&
           std::find(at->second.begin(), at->second.end(), who) != at->second.end();
  }

  std::string choose(const std::string& who) const {
    if (is_listed(users_.default_name, who)) return users_.default_name;
    std::string only;
    for (const auto& [name, users] : users_.users) {
      if (!is_listed(name, who)) continue;
      if (!only.empty()) return "";
      only = name;
    }
    return only;
  }

  TlsUsers users_;
};

}  // namespace

std::unique_ptr<Authenticator> make_insecure_authenticator(std::string default_name) {
  return std::make_unique<InsecureAuthenticator>(std::move(default_name));
}

std::unique_ptr<Authenticator> make_tls_authenticator(TlsUsers users) {
  return std::make_unique<TlsAuthenticator>(std::move(users));
}

}  // namespace nbdring
