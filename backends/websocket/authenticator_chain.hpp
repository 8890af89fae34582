#pragma once
// All ways to be let in, as one: a live session's key first, then the methods in their order. The
// first that grants wins, and its grant begins a live session.
//
// A method that fails does not stand in the way of the next one: only when none grants is its
// Failure thrown on. A method that cannot be made is refused to start, with a line in the log; the
// others live.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/websocket/authenticator.hpp"
#include "backends/websocket/live_sessions.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

/// How a method is made; throws Failure when it cannot be.
struct Method {
  std::string name;  // for the log: "tokens"
  std::function<std::unique_ptr<Authenticator>()> make;
};

class AuthenticatorChain final : public Authenticator {
 public:
  /// Throws Failure when no method is left: nobody could come in. The sessions outlive it.
  AuthenticatorChain(const std::vector<Method>& methods, LiveSessions& sessions, Log& log);

  Verdict next(const Presented& presented) override;

 private:
  Verdict ask_methods(const Presented& presented);

  std::vector<std::unique_ptr<Authenticator>> methods_;
  LiveSessions& sessions_;
  Log& log_;
};

}  // namespace nbdring
