#include "backends/nbd/dial.hpp"

#include <array>
#include <cerrno>
#include <utility>

#include "client/runtime/error.hpp"
#include "client/transport/send_all.hpp"

namespace nbdring {
namespace {

using Goal = ClientHandshakeOptions::Goal;

constexpr std::size_t receive_bytes = 4096;  // at once, during the handshake
constexpr int list_patience = 4;             // a list is a question for each export

std::string export_name_of(const BackendForm& form) {
  const auto* remote = std::get_if<UriSpec>(&form);
  return std::string(remote != nullptr ? remote->uri.export_name() : std::string_view());
}

}  // namespace

Dialer::Dialer(const BackendForm& form, const TlsSettings& tls, const DialOptions& options,
               Log& log)
    : Dialer(make_endpoint(form, log), to_text(form), export_name_of(form), tls, options, log) {}

Dialer::Dialer(std::unique_ptr<Endpoint> endpoint, std::string text, std::string export_name,
               const TlsSettings& tls, const DialOptions& options, Log& log)
    : endpoint_(std::move(endpoint)),
      text_(std::move(text)),
      export_name_(std::move(export_name)),
      policy_(tls.policy),
      options_(options),
      log_(log) {
  if (export_name_.size() > nbd::string_bytes_max) {
    throw Failure(FailureKind::usage, "the export's name is longer than 4096 bytes");
  }
  if (policy_ == TlsPolicy::off) return;
  credentials_ = std::make_unique<TlsCredentials>(TlsCredentials::Side::client, tls);
  if (tls.psk_file.empty() && !tls.verify_peer) {
    log_.warning("the server's certificate is not looked at: anybody can be the server",
                 {{"backend", text_}});
  }
}

Dialer::~Dialer() = default;

ClientHandshakeOptions Dialer::wish(Goal goal) const {
  return {goal, export_name_, policy_, options_.simple_replies};
}

Task<Dialled> Dialer::dial(Loop& loop) const {
  Dialled dialled;
  ClientHandshake handshake(wish(Goal::go));
  co_await shake_hands(loop, dialled, handshake);
  dialled.about = handshake.about();
  dialled.transmission = handshake.transmission();
  dialled.base_allocation_context = handshake.base_allocation_context();
  co_return std::move(dialled);
}

Task<Looked> Dialer::look(Loop& loop, Goal goal) const {
  ENSURE(goal != Goal::go);
  Dialled dialled;
  ClientHandshake handshake(wish(goal));
  co_await shake_hands(loop, dialled, handshake);
  dialled.stream().shut_down();
  Looked looked{handshake.exports(), handshake.transmission(), !dialled.tls_report.version.empty(),
                dialled.tls_report};
  co_return std::move(looked);
}

// Throws Failure unless it went to its good end.
Task<void> Dialer::shake_hands(Loop& loop, Dialled& dialled, ClientHandshake& handshake) const {
  const auto connected_by = Clock::now() + endpoint_->connect_time();
  dialled.socket = co_await endpoint_->connect(loop, connected_by);
  if (const auto below = endpoint_->tls()) dialled.tls_report = *below;
  const bool lists = handshake.goal() == Goal::list;
  const auto patience = options_.handshake_deadline * (lists ? list_patience : 1);
  StreamDeadline deadline(loop, patience, *dialled.socket);
  std::string tls_failure;
  FailureKind tls_failure_kind = FailureKind::refused;
  bool has_ended = false;  // by the stream, in the middle
  try {
    has_ended = co_await converse(loop, dialled, handshake);
  } catch (const Failure& failure) {
    tls_failure = failure.what();
    tls_failure_kind = failure.kind();
  }
  if (deadline.has_expired()) {
    throw Failure(
        FailureKind::unreachable,
        opening_failed("the server did not finish the handshake within " + duration_text(patience) +
                       ", " + handshake.awaited() + " was to come"));
  }
  if (!tls_failure.empty()) throw Failure(tls_failure_kind, opening_failed(tls_failure));
  if (has_ended) handshake.stream_ended();
  if (handshake.state() == ClientHandshake::State::failed) {
    const std::string why = has_ended && dialled.tls ? dialled.tls->why_ended() : "";
    const std::string below = has_ended ? endpoint_->why_ended(*dialled.socket) : "";
    dialled.stream().shut_down();
    if (!below.empty()) throw Failure(FailureKind::unreachable, opening_failed(below));
    // TLS that ends here is a certificate that was refused (TlsStream::why_ended()).
    if (!why.empty()) throw Failure(FailureKind::refused, opening_failed(why));
    throw Failure(handshake.failure_kind(), opening_failed(handshake.reason()));
  }
  warn_if_readable(handshake);
}

// Goes on until the handshake has an end of its own (false), or the stream has ended first (true).
Task<bool> Dialer::converse(Loop& loop, Dialled& dialled, ClientHandshake& handshake) const {
  std::array<std::byte, receive_bytes> bytes;
  while (handshake.state() == ClientHandshake::State::more) {
    const std::size_t wanted = std::min(handshake.wanted(), bytes.size());
    std::array<iovec, 1> buffer{iovec{bytes.data(), wanted}};
    Stream& stream = dialled.stream();
    const ssize_t received = stream.receive(buffer);
    if (received == -EAGAIN) {
      co_await stream.readable();
      continue;
    }
    if (received <= 0) co_return true;
    const auto step = handshake.feed(std::span(bytes).first(static_cast<std::size_t>(received)));
    // A server that has gone may have said why before: that is still to be received.
    co_await send_all(loop, stream, step.output);
    if (handshake.state() == ClientHandshake::State::start_tls) {
      co_await start_tls(loop, dialled, handshake);
    }
  }
  co_return false;
}

Task<void> Dialer::start_tls(Loop& loop, Dialled& dialled, ClientHandshake& handshake) const {
  // The client speaks first in TLS. Bytes that are here already were sent in clear, by the server
  // or by somebody on the way who wants them to be read as the server's.
  std::byte early;
  std::array<iovec, 1> buffer{iovec{&early, 1}};
  if (dialled.socket->receive(buffer) > 0) {
    throw Failure(FailureKind::refused,
                  "something was sent in clear behind the agreement on TLS: either the server is "
                  "broken, or somebody on the way writes to the connection");
  }
  auto tls = std::make_unique<TlsStream>(loop, *dialled.socket, *credentials_);
  co_await tls->shake_hands();
  dialled.tls_report = tls->report();
  dialled.tls = std::move(tls);
  const auto step = handshake.tls_started();
  co_await send_all(loop, dialled.stream(), step.output);
}

std::string Dialer::opening_failed(const std::string& why) const {
  return "cannot open " + text_ + ": " + why;
}

void Dialer::warn_if_readable(const ClientHandshake& handshake) const {
  if (handshake.is_encrypted() || endpoint_->is_private() || has_warned_.exchange(true)) return;
  log_.warning(
      "the connection is not encrypted: whoever is on the way can read and change the data",
      {{"backend", text_}});
}

}  // namespace nbdring
