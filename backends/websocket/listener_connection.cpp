// HTTP: TLS, the head, which way it goes, the answer.

#include "backends/websocket/listener_connection.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "backends/websocket/static_files.hpp"
#include "backends/websocket/tls_socket.hpp"
#include "client/transport/connect.hpp"
#include "client/transport/send_all.hpp"
#include "client/transport/socket.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::seconds linger_time{1};
constexpr std::size_t linger_bytes = 64 * 1024;

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

ListenerConnection::ListenerConnection(ListenerContext& context, FileDescriptor socket,
                                       PeerAddress address,
                                       std::shared_ptr<AddressCounts::Place> place)
    : context_(context),
      address_(std::move(address)),
      place_(std::move(place)),
      socket_(socket.get()),
      stream_(std::make_unique<SocketStream>(context.loop, std::move(socket))) {}

void ListenerConnection::cut() noexcept { ::shutdown(socket_, SHUT_RDWR); }

Task<void> ListenerConnection::run() {
  const bool is_ready = co_await start_tls();
  if (!is_ready) co_return;
  const Head head = co_await read_head();
  if (head == Head::gone) co_return;
  if (head == Head::complete) {
    co_await serve_request();
  } else {
    context_.log.refused("a request was refused", address_.text, refusal_.why);
    HttpAnswer answer = answer_error(refusal_);
    co_await send_answer(std::move(answer), false);
  }
}

Task<bool> ListenerConnection::start_tls() {
  if (context_.options.tls == nullptr) co_return true;
  auto tls = std::make_unique<TlsSocket>(context_.loop, std::move(stream_), *context_.options.tls);
  TlsSocket& shaking = *tls;
  stream_ = std::move(tls);
  const StreamDeadline deadline(context_.loop, context_.options.head_time, shaking);
  std::string failure;
  try {
    co_await shaking.shake_hands();
    tls_ = shaking.report();
  } catch (const Failure& error) {
    failure = error.what();
  }
  if (failure.empty()) co_return true;
  context_.log.refused("a TLS handshake failed", address_.text, failure);
  co_return false;
}

Task<ListenerConnection::Head> ListenerConnection::read_head() {
  const auto deadline = accepted_ + context_.options.head_time;
  const WaitDeadline limit(context_.loop, deadline, socket_);
  for (;;) {
    if (Clock::now() >= deadline) {
      refusal_ = {408, "the request's head did not come in time"};
      co_return Head::refused;
    }
    std::array<iovec, 1> buffer{iovec{head_.data() + head_used_, head_.size() - head_used_}};
    const ssize_t received = stream_->receive(buffer);
    if (received == -EAGAIN || received == -EINTR) {
      co_await stream_->readable();
      continue;
    }
    if (received <= 0) co_return Head::gone;
    const bool is_first = head_used_ == 0;
    head_used_ += static_cast<std::size_t>(received);
    if (!is_first && !may_be_complete()) continue;
    auto parsed = parse_request_head(std::span(head_).first(head_used_));
    if (auto* request = std::get_if<HttpRequest>(&parsed)) {
      request_ = std::move(*request);
      co_return Head::complete;
    }
    if (auto* error = std::get_if<HttpError>(&parsed)) {
      refusal_ = std::move(*error);
      co_return Head::refused;
    }
    if (head_used_ == head_.size()) {
      refusal_ = {431, "the request's head is longer than 8192 bytes"};
      co_return Head::refused;
    }
  }
}

// Each look parses from the start, so a head that comes byte by byte must not cost a look a byte:
// nonsense shows at the first one, an end at an empty line.
bool ListenerConnection::may_be_complete() const {
  constexpr std::size_t worth_a_look = 16;
  const std::string_view text = text_of(std::span(head_).first(head_used_));
  return head_used_ == head_.size() || head_used_ <= worth_a_look ||
         text.find("\n\r\n") != std::string_view::npos ||
         text.find("\n\n") != std::string_view::npos;
}

Task<void> ListenerConnection::serve_request() {
  if (asks_for_websocket(request_)) {
    co_await serve_websocket();
    co_return;
  }
  const bool head_only = request_.method == "HEAD";
  if (request_.target.path.starts_with("/api/")) {
    HttpAnswer answer = co_await answer_api();
    const bool was_sent = co_await send_answer(std::move(answer), head_only);
    if (!was_sent) end_fresh_session();
  } else {
    HttpAnswer answer = answer_static();
    co_await send_answer(std::move(answer), head_only);
  }
}

HttpAnswer ListenerConnection::answer_static() const {
  const std::string& path = request_.target.path;
  const StaticFile* const file = find_static_file(path);
  if (file == nullptr && context_.host.configuration_at(path)) {
    return answer_error({426, "this path is for websockets", {{"Upgrade", "websocket"}}});
  }
  if (file == nullptr) return answer_error({404, "there is nothing at this path"});
  if (request_.method != "GET" && request_.method != "HEAD") {
    return answer_error({405, "this can only be read", {{"Allow", "GET, HEAD"}}});
  }
  return answer_file(*file, request_);
}

Task<bool> ListenerConnection::send_answer(HttpAnswer answer, bool head_only) {
  const std::string text = format_answer(answer, head_only);
  const StreamDeadline deadline(context_.loop, context_.options.answer_time, *stream_);
  const bool was_sent = co_await send_all(context_.loop, *stream_, std::as_bytes(std::span(text)));
  if (was_sent) {
    co_await linger();
  }
  stream_->shut_down();
  co_return was_sent;
}

// A socket that is closed while something is still unread resets the connection, and the peer never
// sees its answer: so what is on its way is read, for a moment.
Task<void> ListenerConnection::linger() {
  const auto until = Clock::now() + linger_time;
  const WaitDeadline limit(context_.loop, until, socket_);
  stream_->end_sending();
  std::size_t rest = linger_bytes;
  while (Clock::now() < until) {
    std::array<iovec, 1> buffer{iovec{head_.data(), std::min(rest, head_.size())}};
    const ssize_t received = stream_->receive(buffer);
    if (received == -EAGAIN || received == -EINTR) {
      co_await stream_->readable();
      continue;
    }
    if (received <= 0) co_return;
    rest -= static_cast<std::size_t>(received);
    if (rest == 0) co_return;
  }
}

}  // namespace nbdring
