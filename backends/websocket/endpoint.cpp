#include "backends/websocket/endpoint.hpp"

#include <array>
#include <mutex>
#include <utility>

#include "backends/nbd/endpoint_kinds.hpp"
#include "backends/websocket/client_credential.hpp"
#include "backends/websocket/client_target.hpp"
#include "backends/websocket/client_token.hpp"
#include "backends/websocket/stream.hpp"
#include "backends/websocket/tls_socket.hpp"
#include "backends/websocket/upgrade.hpp"
#include "client/protocol/handshake_text.hpp"
#include "client/transport/send_all.hpp"

namespace nbdring {
namespace {

constexpr std::size_t receive_bytes = 16 * 1024;
constexpr std::size_t reason_max = 123;  // bytes: a close frame has no more

/// The answer to an upgrade's request, and what came behind it.
struct Answered {
  HttpResponse response;
  std::vector<std::byte> early;
  std::string problem;  // instead
};

/// Of one attempt: the stream, or why there is none.
struct Opened {
  std::unique_ptr<Stream> stream;
  UpgradeAgreed agreed;
  UpgradeRefused refused;
};

Task<Answered> ask(Loop& loop, Stream& stream, const std::string& request) {
  Answered answered;
  // A server that takes no more may have said why before: that is still to be received.
  co_await send_all(loop, stream, std::as_bytes(std::span(request)));
  std::vector<std::byte> bytes(receive_bytes);
  std::size_t have = 0;
  for (;;) {
    std::array<iovec, 1> buffer{iovec{bytes.data() + have, bytes.size() - have}};
    const ssize_t received = stream.receive(buffer);
    if (received == -EAGAIN) {
      co_await stream.readable();
      continue;
    }
    if (received <= 0) {
      answered.problem = have == 0 ? "the server closed the connection without an answer"
                                   : "the server closed the connection in the middle of an answer";
      co_return std::move(answered);
    }
    have += static_cast<std::size_t>(received);
    auto parsed = parse_response_head(std::span(bytes).first(have));
    if (std::holds_alternative<HeadIncomplete>(parsed)) continue;
    if (const auto* error = std::get_if<HttpError>(&parsed)) {
      answered.problem = "the server does not answer in HTTP/1.1 (" + error->why +
                         "); this is no websocket endpoint";
      co_return std::move(answered);
    }
    answered.response = std::move(std::get<HttpResponse>(parsed));
    bytes.resize(have);
    bytes.erase(bytes.begin(),
                bytes.begin() + static_cast<std::ptrdiff_t>(answered.response.head_bytes));
    answered.early = std::move(bytes);
    co_return std::move(answered);
  }
}

// A server that says goodbye without a word, or is just gone, has not said why.
std::string ending_text(const std::optional<WebsocketStream::Ending>& ending) {
  constexpr std::uint16_t normal_closure = 1000;
  constexpr std::uint16_t no_code = 1005;
  if (!ending || ending->code == normal_closure || ending->code == no_code) return "";
  const std::string reason = printable(ending->reason, reason_max);
  if (!ending->by_peer) return "the server broke the websocket's protocol: " + reason;
  if (!ending->was_clean) return "";
  return "the server closed the websocket with code " + std::to_string(ending->code) +
         (reason.empty() ? "" : ": '" + reason + "'");
}

class WebsocketEndpoint final : public Endpoint {
 public:
  WebsocketEndpoint(const Uri& uri, const TlsSettings& tls, Log& log)
      : target_(client_target_of(uri)), below_(make_tcp_endpoint(target_.server, log)) {
    if (tls.policy != TlsPolicy::off) {
      credentials_ = std::make_unique<TlsCredentials>(TlsCredentials::Side::client, tls);
      if (tls.psk_file.empty() && !tls.verify_peer) {
        log.warning("the server's certificate is not looked at: anybody can be the server",
                    {{"backend", target_.text}});
      }
    }
    if (target_.token_file.empty()) return;
    // The engine leaves the folder that it was started in.
    const bool is_absolute = target_.token_file.starts_with('/');
    credential_ = std::make_unique<ClientCredential>(
        is_absolute ? target_.token_file : current_folder() + "/" + target_.token_file);
    if (!is_private()) {
      log.warning("the token is sent in clear: whoever is on the way can use it; wss: hides it",
                  {{"backend", target_.text}});
    }
  }

  Task<std::unique_ptr<Stream>> connect(Loop& loop, Clock::time_point deadline) override {
    std::optional<ClientCredential::Turn> turn;
    for (;;) {
      const std::string session = credential_ ? credential_->session() : std::string();
      if (credential_ && session.empty()) {
        if (turn) break;
        co_await wait_turn(loop, deadline);
        turn.emplace(*credential_);
        continue;  // who had it before may have left a session
      }
      UpgradeWish wish = wish_of(session);
      Opened opened = co_await open(loop, wish, deadline);
      if (opened.stream) co_return std::move(opened.stream);
      if (!credential_ || opened.refused.kind != FailureKind::refused) fail(opened.refused);
      credential_->forget(session);
    }
    std::unique_ptr<Stream> stream = co_await connect_with_token(loop, deadline);
    co_return std::move(stream);
  }

  std::chrono::milliseconds connect_time() const override { return std::chrono::seconds(15); }
  bool reaches_one_server() const override { return true; }
  bool is_private() const override { return credentials_ != nullptr || below_->is_private(); }
  std::optional<TlsReport> tls() const override {
    const std::lock_guard lock(mutex_);
    return tls_;
  }
  std::string why_ended(const Stream& stream) const override {
    return ending_text(dynamic_cast<const WebsocketStream&>(stream).ending());
  }
  const std::string& text() const override { return target_.text; }

 private:
  UpgradeWish wish_of(const std::string& session) const {
    UpgradeWish wish{target_.authority, target_.target, make_websocket_key()};
    if (!session.empty()) wish.protocols.push_back("nbd.session." + session);
    return wish;
  }

  Task<void> wait_turn(Loop& loop, Clock::time_point deadline) {
    const bool is_our_turn = co_await credential_->wait_turn(loop, deadline);
    if (is_our_turn) co_return;
    fail({FailureKind::unreachable, "another connection is still being shown in with the token"});
  }

  // With the turn.
  Task<std::unique_ptr<Stream>> connect_with_token(Loop& loop, Clock::time_point deadline) {
    UpgradeWish wish = wish_of("");
    const std::string token = co_await credential_->token(loop, deadline);
    wish.more.push_back({"Authorization", "Bearer " + token});
    Opened opened = co_await open(loop, wish, deadline);
    if (!opened.stream) fail(opened.refused);
    co_await credential_->keep(loop, opened.agreed.next_token, opened.agreed.session, deadline);
    co_return std::move(opened.stream);
  }

  // What the server refuses is returned, what fails below the websocket is thrown.
  Task<Opened> open(Loop& loop, UpgradeWish& wish, Clock::time_point deadline) {
    std::unique_ptr<Stream> stream = co_await below_->connect(loop, deadline);
    const StreamDeadline limit(loop, deadline - Clock::now(), *stream);
    TlsSocket* tls = nullptr;
    if (credentials_) {
      auto encrypted = std::make_unique<TlsSocket>(loop, std::move(stream), *credentials_);
      co_await shake_hands(loop, *encrypted, limit);
      tls = encrypted.get();
      stream = std::move(encrypted);
    }
    const std::string request = upgrade_request(wish);
    Answered answered = co_await ask(loop, *stream, request);
    Opened opened;
    if (limit.has_expired()) {
      opened.refused.why = "the server did not answer the request for a websocket in time";
    } else if (!answered.problem.empty()) {
      opened.refused = why_ended(tls, std::move(answered.problem));
    } else {
      take(answered.response, wish, opened);
    }
    if (!opened.refused.why.empty()) co_return std::move(opened);
    opened.stream = std::make_unique<WebsocketStream>(loop, std::move(stream),
                                                      WebsocketRole::client, answered.early);
    co_return std::move(opened);
  }

  Task<void> shake_hands(Loop&, TlsSocket& tls, const StreamDeadline& limit) {
    UpgradeRefused refused;
    try {
      co_await tls.shake_hands();
    } catch (const Failure& failure) {
      refused = {failure.kind(), failure.what()};
    }
    if (limit.has_expired()) {
      refused = {FailureKind::unreachable, "the server did not finish the TLS handshake in time"};
    }
    if (!refused.why.empty()) fail(refused);
    const std::lock_guard lock(mutex_);
    tls_ = tls.report();
  }

  // TLS that ends here is a certificate that was refused (TlsStream::why_ended()).
  static UpgradeRefused why_ended(const TlsSocket* tls, std::string problem) {
    const std::string why = tls != nullptr ? tls->why_ended() : "";
    if (!why.empty()) return {FailureKind::refused, why};
    return {FailureKind::unreachable, std::move(problem)};
  }

  static void take(const HttpResponse& response, const UpgradeWish& wish, Opened& opened) {
    auto checked = check_upgrade_response(response, wish);
    if (auto* refused = std::get_if<UpgradeRefused>(&checked)) {
      opened.refused = std::move(*refused);
      return;
    }
    opened.agreed = std::move(std::get<UpgradeAgreed>(checked));
    const std::string& next = opened.agreed.next_token;
    const std::string& session = opened.agreed.session;
    if ((!next.empty() && !is_client_token(next)) ||
        (!session.empty() && !is_http_token(session))) {
      opened.refused.why = "the server's next token or its session's key is malformed";
    }
  }

  [[noreturn]] void fail(const UpgradeRefused& refused) const {
    throw Failure(refused.kind, "cannot open " + target_.text + ": " + refused.why);
  }

  const ClientTarget target_;
  const std::unique_ptr<Endpoint> below_;
  std::unique_ptr<TlsCredentials> credentials_;   // null: ws
  std::unique_ptr<ClientCredential> credential_;  // null: nothing is shown
  mutable std::mutex mutex_;
  std::optional<TlsReport> tls_;  // of the last connection
};

}  // namespace

std::unique_ptr<Endpoint> make_websocket_endpoint(const Uri& uri, const TlsSettings& tls,
                                                  Log& log) {
  return std::make_unique<WebsocketEndpoint>(uri, tls, log);
}

}  // namespace nbdring
