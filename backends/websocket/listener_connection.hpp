#pragma once
// One connection of the listener, from its accept until its answer or its going over to a session.
// For listener*.cpp.

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "backends/websocket/credentials.hpp"
#include "backends/websocket/http_answer.hpp"
#include "backends/websocket/http_head.hpp"
#include "backends/websocket/listener.hpp"
#include "backends/websocket/peer_address.hpp"
#include "backends/websocket/peer_log.hpp"
#include "backends/websocket/upgrade.hpp"
#include "client/runtime/offload.hpp"

namespace nbdring {

/// What all connections of a listener share.
struct ListenerContext {
  Loop& loop;
  ListenerOptions options;
  Authenticator& authenticator;
  LiveSessions& sessions;
  SessionHost& host;
  PeerLog log;
  std::shared_ptr<Offload> offload;
  std::shared_ptr<AddressCounts> counts;
};

class ListenerConnection {
 public:
  ListenerConnection(ListenerContext& context, FileDescriptor socket, PeerAddress address,
                     std::shared_ptr<AddressCounts::Place> place);

  Task<void> run();
  /// Everything that it waits for ends.
  void cut() noexcept;
  /// It has become a websocket of a session.
  bool is_websocket() const { return is_websocket_; }
  FramePool& frames() { return context_.loop.frames(); }

 private:
  enum class Head { complete, refused, gone };
  using Granted = std::variant<Grant, HttpError>;

  // listener_connection.cpp
  Task<bool> start_tls();
  Task<Head> read_head();
  bool may_be_complete() const;
  Task<bool> send_answer(HttpAnswer answer, bool head_only);
  Task<void> linger();
  Task<void> serve_request();
  HttpAnswer answer_static() const;

  // listener_api.cpp
  Task<HttpAnswer> answer_api();
  Task<HttpAnswer> answer_login();
  HttpAnswer answer_session() const;
  Task<Granted> authenticate(std::string configuration, Credentials credentials);
  Granted judge(const Presented& presented, const Verdict& verdict);
  void end_fresh_session();

  // listener_websocket.cpp
  Task<void> serve_websocket();
  Task<std::optional<HttpError>> let_in(const UpgradeOk& upgrade);
  std::optional<HttpError> admit(const Grant& grant, std::shared_ptr<Peers>& peers);
  Task<void> hand_over(const UpgradeOk& upgrade, const std::string& protocol, const Grant& grant,
                       std::shared_ptr<Peers> peers);
  PeerInfo info_of(const Grant& grant) const;

  ListenerContext& context_;
  const Clock::time_point accepted_ = Clock::now();
  const PeerAddress address_;
  std::shared_ptr<AddressCounts::Place> place_;
  const int socket_;
  std::unique_ptr<Stream> stream_;
  TlsReport tls_;

  std::array<std::byte, 8192> head_;
  std::size_t head_used_ = 0;
  HttpRequest request_;
  HttpError refusal_;
  std::string fresh_session_;  // the key of the session that began with this request, if one did
  bool is_websocket_ = false;
};

}  // namespace nbdring
