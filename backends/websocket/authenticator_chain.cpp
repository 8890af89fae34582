#include "backends/websocket/authenticator_chain.hpp"

#include <optional>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {

AuthenticatorChain::AuthenticatorChain(const std::vector<Method>& methods, LiveSessions& sessions,
                                       Log& log)
    : sessions_(sessions), log_(log) {
  for (const Method& method : methods) {
    try {
      methods_.push_back(method.make());
    } catch (const Failure& failure) {
      log_.error("cannot let anybody in by " + method.name + ": " + failure.what());
    }
  }
  if (!methods_.empty()) return;
  throw Failure(FailureKind::refused,
                "nobody could be let in: there is no way to tell who somebody is; make a token "
                "with `nbdring token create`, use TLS with users, or say --insecure");
}

Verdict AuthenticatorChain::next(const Presented& presented) {
  if (!presented.session.empty()) {
    auto known = sessions_.find(presented.session);
    if (known) {
      const bool is_its_own =
          presented.configuration.empty() || presented.configuration == known->configuration;
      if (!is_its_own) return Denied{};
      return std::move(*known);
    }
  }
  Verdict verdict = ask_methods(presented);
  if (Grant* grant = std::get_if<Grant>(&verdict)) sessions_.begin(*grant);
  return verdict;
}

Verdict AuthenticatorChain::ask_methods(const Presented& presented) {
  std::optional<Failure> first;
  for (const auto& method : methods_) {
    try {
      Verdict verdict = method->next(presented);
      if (std::holds_alternative<Denied>(verdict)) continue;
      if (first) log_.error(first->what());
      return verdict;
    } catch (const Failure& failure) {
      if (!first) first = failure;
    }
  }
  if (first) throw Failure(*first);
  return Denied{};
}

}  // namespace nbdring
