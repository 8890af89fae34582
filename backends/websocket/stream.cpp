#include "backends/websocket/stream.hpp"

#include "backends/websocket/stream_state.hpp"

namespace nbdring {

WebsocketStream::WebsocketStream(Loop& loop, std::unique_ptr<Stream> lower, WebsocketRole role,
                                 std::span<const std::byte> early, const WebsocketOptions& options)
    : state_(std::make_unique<State>(loop, std::move(lower), role, early, options)) {}

WebsocketStream::~WebsocketStream() = default;

ssize_t WebsocketStream::receive(std::span<iovec> buffers) noexcept {
  return state_->receive(buffers);
}
ssize_t WebsocketStream::send(std::span<iovec> buffers) noexcept { return state_->send(buffers); }
Operation WebsocketStream::readable() { return state_->readable(); }
Operation WebsocketStream::writable() { return state_->writable(); }
void WebsocketStream::shut_down() noexcept { state_->shut_down(); }
void WebsocketStream::move_to(Loop& loop) noexcept { state_->move_to(loop); }
void WebsocketStream::end_sending() noexcept { state_->end_sending(); }

void WebsocketStream::say_close() noexcept { state_->say_close(); }
void WebsocketStream::reset() noexcept { state_->reset(); }
bool WebsocketStream::is_local() const noexcept { return state_->is_local(); }
void WebsocketStream::rest() noexcept { state_->rest(); }
void WebsocketStream::probe(Clock::duration within) noexcept { state_->probe(within); }
Task<void> WebsocketStream::close(Clock::time_point deadline) { return state_->close(deadline); }
std::optional<WebsocketStream::Ending> WebsocketStream::ending() const { return state_->ending(); }
void WebsocketStream::set_close(std::uint16_t code, std::string_view reason) {
  state_->set_close(code, reason);
}
void WebsocketStream::set_watch(Watch watch) { state_->set_watch(std::move(watch)); }
FramePool& WebsocketStream::frames() { return state_->frames(); }

}  // namespace nbdring
