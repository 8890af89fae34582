// Our WebsocketStream for somebody else's peer: whatever payload comes goes back.

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "backends/websocket/stream.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/loop.hpp"
#include "client/transport/send_all.hpp"
#include "client/transport/socket.hpp"
#include "tests/oracles/websocket_oracle.hpp"

namespace nbdring {
namespace {

FileDescriptor connect_to(const std::string& path) {
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ENSURE(path.size() < sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  ENSURE(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return socket;
}

Task<void> send_back(Loop& loop, WebsocketStream& stream, ssize_t& result) {
  std::vector<std::byte> bytes(300'000);
  std::array<iovec, 1> buffer{iovec{bytes.data(), bytes.size()}};
  for (;;) {
    result = stream.receive(buffer);
    if (result == -EAGAIN) {
      co_await stream.readable();
      continue;
    }
    if (result <= 0) co_return;
    const auto count = static_cast<std::size_t>(result);
    const bool is_sent = co_await send_all(loop, stream, std::span(bytes).first(count));
    if (!is_sent) co_return;
  }
}

}  // namespace

int echo(WebsocketRole role, const std::string& path) {
  Loop loop;
  WebsocketOptions options;
  options.ping_interval = std::chrono::milliseconds(200);
  options.dead_after = std::chrono::milliseconds(3000);
  WebsocketStream stream(loop, std::make_unique<SocketStream>(loop, connect_to(path)), role, {},
                         options);
  ssize_t result = 0;
  loop.run(send_back(loop, stream, result));
  stream.shut_down();
  const auto ending = stream.ending();
  ENSURE(ending);
  std::printf("%s %s %u %s\n", ending->by_peer ? "peer" : "us",
              ending->was_clean ? "clean" : "unclean", unsigned{ending->code},
              ending->reason.c_str());
  return 0;
}

}  // namespace nbdring
