#include "client/engine/request_reader.hpp"

#include <algorithm>
#include <cstring>

#include "client/runtime/error.hpp"

namespace nbdring {

nbd::RequestHeader RequestReader::take_header() noexcept {
  ENSURE(has_header());
  nbd::RequestHeader header;
  std::memcpy(&header, bytes_.data() + begin_, sizeof header);
  begin_ += sizeof header;
  return header;
}

std::size_t RequestReader::take(std::span<std::byte> destination) noexcept {
  const std::size_t count = std::min(destination.size(), available());
  if (count == 0) return 0;
  std::memcpy(destination.data(), bytes_.data() + begin_, count);
  begin_ += count;
  return count;
}

std::size_t RequestReader::drop(std::size_t count) noexcept {
  const std::size_t dropped = std::min(count, available());
  begin_ += dropped;
  return dropped;
}

RequestReader::Received RequestReader::receive(std::span<std::byte> payload_rest,
                                               std::size_t ahead_max) noexcept {
  // What is left is less than a header, or the caller has taken everything: moving it is cheap.
  const std::size_t kept = available();
  if (begin_ > 0 && kept > 0) std::memmove(bytes_.data(), bytes_.data() + begin_, kept);
  begin_ = 0;
  end_ = kept;

  const std::size_t room = std::min(capacity - end_, ahead_max);
  const std::size_t ahead =
      payload_rest.size() >= large_payload ? std::min(room, sizeof(nbd::RequestHeader)) : room;
  ENSURE(payload_rest.empty() || kept == 0);
  std::array<iovec, 2> buffers{iovec{payload_rest.data(), payload_rest.size()},
                               iovec{bytes_.data() + end_, ahead}};
  const bool whole = !payload_rest.empty();
  const ssize_t result = stream_.receive(std::span(buffers).subspan(whole ? 0 : 1));
  if (result <= 0) return {result, 0, false};
  const auto bytes = static_cast<std::size_t>(result);
  const std::size_t into_payload = std::min(payload_rest.size(), bytes);
  end_ += bytes - into_payload;
  return {result, into_payload, bytes < payload_rest.size() + ahead};
}

}  // namespace nbdring
