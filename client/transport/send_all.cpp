#include "client/transport/send_all.hpp"

#include <array>
#include <cerrno>

namespace nbdring {

Task<bool> send_all(Loop&, Stream& stream, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    std::array<iovec, 1> buffer{iovec{const_cast<std::byte*>(bytes.data()), bytes.size()}};
    const ssize_t sent = stream.send(buffer);
    if (sent == -EAGAIN) {
      co_await stream.writable();
      continue;
    }
    if (sent <= 0) co_return false;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  co_return true;
}

}  // namespace nbdring
