// A websocket's way through the listener to its session.

#include <charconv>
#include <utility>

#include "backends/websocket/listener_connection.hpp"
#include "client/protocol/handshake_text.hpp"
#include "client/transport/send_all.hpp"

namespace nbdring {
namespace {

constexpr std::size_t image_bytes_max = 256;  // of the peer's name for its image

/// A connection's place with the listener and its session, given back when it ends.
class Place final : public PeerPlace {
 public:
  Place(std::shared_ptr<AddressCounts::Place> counted, LiveSessions& sessions, std::string key,
        std::shared_ptr<Offload> offload)
      : counted_(std::move(counted)),
        sessions_(sessions),
        key_(std::move(key)),
        offload_(std::move(offload)) {}
  ~Place() override { sessions_.detach(key_); }

  void heard() noexcept override {
    offload_->start([&sessions = sessions_, key = key_] { sessions.confirm(key); });
  }

 private:
  const std::shared_ptr<AddressCounts::Place> counted_;
  LiveSessions& sessions_;
  const std::string key_;
  const std::shared_ptr<Offload> offload_;
};

unsigned number_of(std::string_view text) {
  unsigned number = 1;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

Task<void> ListenerConnection::serve_websocket() {
  auto checked = check_upgrade(request_, context_.options.origins);
  std::optional<HttpError> refusal;
  if (auto* error = std::get_if<HttpError>(&checked)) {
    refusal = std::move(*error);
  } else {
    const UpgradeOk upgrade = std::get<UpgradeOk>(checked);
    refusal = co_await let_in(upgrade);
  }
  if (!refusal) co_return;
  // What the authenticator says has been told already, without its why.
  const bool was_told = refusal->status == 401 || refusal->why == "access denied";
  if (!was_told) context_.log.refused("a websocket was refused", address_.text, refusal->why);
  HttpAnswer answer = answer_error(*refusal);
  co_await send_answer(std::move(answer), false);
}

// Why not; or nothing, and the websocket has come and gone.
Task<std::optional<HttpError>> ListenerConnection::let_in(const UpgradeOk& upgrade) {
  std::optional<HttpError> refusal;
  auto name = context_.host.configuration_at(request_.target.path);
  if (!name) {
    refusal = HttpError{404, "there is no configuration at this path"};
    co_return std::move(refusal);
  }
  const Credentials credentials = credentials_of(request_, upgrade.protocols);
  auto granted = co_await authenticate(std::move(*name), credentials);
  if (auto* error = std::get_if<HttpError>(&granted)) {
    refusal = std::move(*error);
    co_return std::move(refusal);
  }
  const Grant& grant = std::get<Grant>(granted);
  std::shared_ptr<Peers> peers;
  refusal = admit(grant, peers);
  if (!refusal) {
    const bool has_room = co_await peers->makes_room(context_.loop);
    if (!has_room) refusal = HttpError{409, "another peer has the session"};
  }
  // From here on the session's key counts it; its place gives that back.
  if (!refusal && !context_.sessions.attach(grant.session_key)) {
    refusal = HttpError{409, "the session is over"};
  }
  if (refusal) {
    end_fresh_session();
  } else {
    co_await hand_over(upgrade, credentials.protocol, grant, peers);
  }
  co_return std::move(refusal);
}

std::optional<HttpError> ListenerConnection::admit(const Grant& grant,
                                                   std::shared_ptr<Peers>& peers) {
  const PeerInfo info = info_of(grant);
  auto admitted = context_.host.admit(grant, info);
  if (auto* error = std::get_if<HttpError>(&admitted)) return std::move(*error);
  peers = std::get<std::shared_ptr<Peers>>(admitted);
  return peers->objection(info);
}

Task<void> ListenerConnection::hand_over(const UpgradeOk& upgrade, const std::string& protocol,
                                         const Grant& grant, std::shared_ptr<Peers> peers) {
  PeerInfo info = info_of(grant);
  info.place = std::make_shared<Place>(std::move(place_), context_.sessions, grant.session_key,
                                       context_.offload);
  HttpHeaders more;
  if (!grant.next_token.empty()) more.push_back({"Nbdring-Next-Token", grant.next_token});
  if (!grant.session_key.empty()) more.push_back({"Nbdring-Session", grant.session_key});
  const std::string response = upgrade_response(upgrade, protocol, more);
  {
    const StreamDeadline deadline(context_.loop, context_.options.answer_time, *stream_);
    const bool was_sent =
        co_await send_all(context_.loop, *stream_, std::as_bytes(std::span(response)));
    if (!was_sent) {
      end_fresh_session();
      co_return;
    }
  }
  const auto early = std::span(head_).first(head_used_).subspan(request_.head_bytes);
  auto websocket = std::make_unique<WebsocketStream>(
      context_.loop, std::move(stream_), WebsocketRole::server, early, context_.options.websocket);
  is_websocket_ = true;
  co_await peers->offer(context_.loop, std::move(websocket), std::move(info));
}

PeerInfo ListenerConnection::info_of(const Grant& grant) const {
  PeerInfo info;
  info.address = address_.text;
  info.who = grant.who;
  info.image = printable(request_.target.parameter("image").value_or(""), image_bytes_max);
  info.connections = number_of(request_.target.parameter("connections").value_or("1"));
  info.is_private = context_.options.tls != nullptr || address_.is_local;
  info.socket = socket_;
  return info;
}

}  // namespace nbdring
