// The peer of bench/websocket: opens websockets and serves an NBD export of memory over each, as a
// browser's page does but fast enough for what is between to be the limit. Each reply is one masked
// message, as nbd.js sends it.
//
//   peer PORT PATH MEBIBYTES [CONNECTIONS SUBPROTOCOL]
//
// Every 4 KiB block begins with its offset. What is written is counted for done and forgotten. A
// websocket that ends is opened again. Needs a little-endian machine, like most of this.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "bench/websocket-parts/wire.hpp"

namespace {

constexpr std::size_t block = 4096;
constexpr std::size_t reply_max = 32 << 20;
constexpr std::uint32_t mask_key = 0x5ac3961f;

std::vector<char> make_image(std::size_t bytes) {
  std::vector<char> image(bytes, 'x');
  for (std::uint64_t at = 0; at < bytes; at += block) std::memcpy(&image[at], &at, sizeof at);
  return image;
}

/// One websocket, as two streams of bytes.
class Websocket {
 public:
  Websocket(std::uint16_t port, const std::string& path, const std::string& more)
      : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        in_(1 << 20),
        out_(14 + 16 + reply_max) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int yes = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    is_open_ = connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
               shake_hands(port, path, more);
  }
  ~Websocket() { close(socket_); }
  Websocket(const Websocket&) = delete;
  Websocket& operator=(const Websocket&) = delete;

  bool is_open() const { return is_open_; }

  /// Null `to`: the bytes are passed over. False: the websocket is over.
  bool receive(void* to, std::size_t size) {
    for (auto* at = static_cast<char*>(to); size > 0;) {
      if (payload_ == 0) {
        if (!next_frame()) return false;
        continue;
      }
      if (begin_ == end_ && !fill()) return false;
      const std::size_t count = std::min({size, payload_, end_ - begin_});
      if (at) {
        std::memcpy(at, &in_[begin_], count);
        at += count;
      }
      begin_ += count;
      payload_ -= count;
      size -= count;
    }
    return true;
  }

  bool send_message(const void* head, std::size_t head_size, const void* data = nullptr,
                    std::size_t size = 0) {
    return send_frame(0x82, head, head_size, data, size);
  }

 private:
  bool shake_hands(std::uint16_t port, const std::string& path, const std::string& more) {
    const std::string head =
        "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) +
        "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n" +
        more + "\r\n";
    if (!wire::write_all(socket_, head.data(), head.size())) return false;
    std::string answer;
    for (char c; !answer.ends_with("\r\n\r\n"); answer += c) {
      if (!wire::read_all(socket_, &c, 1)) return false;
    }
    return answer.starts_with("HTTP/1.1 101");
  }

  bool fill() {
    const ssize_t count = read(socket_, in_.data(), in_.size());
    if (count <= 0) return false;
    begin_ = 0;
    end_ = static_cast<std::size_t>(count);
    return true;
  }

  bool take(void* to, std::size_t size) {
    for (auto* at = static_cast<char*>(to); size > 0; --size) {
      if (begin_ == end_ && !fill()) return false;
      *at++ = in_[begin_++];
    }
    return true;
  }

  bool next_frame() {
    unsigned char head[2];
    if (!take(head, 2)) return false;
    payload_ = head[1] & 0x7f;
    if (payload_ == 126) {
      std::uint16_t length;
      if (!take(&length, sizeof length)) return false;
      payload_ = be16toh(length);
    } else if (payload_ == 127) {
      std::uint64_t length;
      if (!take(&length, sizeof length)) return false;
      payload_ = be64toh(length);
    }
    return (head[0] & 0x08) == 0 || answer_control(head[0] & 0x0f);
  }

  bool answer_control(int opcode) {
    char payload[125];
    const std::size_t size = std::exchange(payload_, 0);
    if (!take(payload, size) || opcode == 8) return false;
    return opcode != 9 || send_frame(0x8a, payload, size, nullptr, 0);
  }

  bool send_frame(unsigned char first, const void* head, std::size_t head_size, const void* data,
                  std::size_t size) {
    const std::size_t payload = head_size + size;
    char* at = out_.data();
    *at++ = static_cast<char>(first);
    if (payload < 126) {
      *at++ = static_cast<char>(0x80 | payload);
    } else if (payload < 65536) {
      *at++ = static_cast<char>(0x80 | 126);
      const std::uint16_t length = htobe16(static_cast<std::uint16_t>(payload));
      at = std::copy_n(reinterpret_cast<const char*>(&length), sizeof length, at);
    } else {
      *at++ = static_cast<char>(0x80 | 127);
      const std::uint64_t length = htobe64(payload);
      at = std::copy_n(reinterpret_cast<const char*>(&length), sizeof length, at);
    }
    at = std::copy_n(reinterpret_cast<const char*>(&mask_key), sizeof mask_key, at);
    at = masked(at, head, head_size);  // before data: a multiple of four, so the key begins anew
    at = masked(at, data, size);
    return wire::write_all(socket_, out_.data(), static_cast<std::size_t>(at - out_.data()));
  }

  static char* masked(char* to, const void* from, std::size_t size) {
    constexpr std::uint64_t key = mask_key | std::uint64_t{mask_key} << 32;
    const auto* source = static_cast<const char*>(from);
    std::size_t i = 0;
    for (; i + 8 <= size; i += 8) {
      std::uint64_t word;
      std::memcpy(&word, source + i, 8);
      word ^= key;
      std::memcpy(to + i, &word, 8);
    }
    for (; i < size; ++i)
      to[i] = static_cast<char>(source[i] ^ static_cast<char>(key >> i % 8 * 8));
    return to + size;
  }

  int socket_;
  bool is_open_ = false;
  std::vector<char> in_;
  std::vector<char> out_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t payload_ = 0;  // of the frame under way
};

/// One NBD connection over one websocket, until either ends.
class Export {
 public:
  Export(Websocket& websocket, const std::vector<char>& image, bool is_multi)
      : websocket_(websocket), image_(image), flags_(htobe16(is_multi ? 0x105 : 0x005)) {}

  void serve() {
    if (!negotiate()) return;
    for (wire::Request request; websocket_.receive(&request, sizeof request);) {
      if (request.magic != htobe32(wire::request_magic) || !answer(request)) return;
    }
  }

 private:
  bool negotiate() {
    struct [[gnu::packed]] {
      char magic[8] = {'N', 'B', 'D', 'M', 'A', 'G', 'I', 'C'};
      std::uint64_t option = htobe64(wire::option_magic);
      std::uint16_t flags = htobe16(3);
    } greeting;
    std::uint32_t flags;
    if (!websocket_.send_message(&greeting, sizeof greeting) ||
        !websocket_.receive(&flags, sizeof flags))
      return false;
    while (true) {
      struct [[gnu::packed]] {
        std::uint64_t magic;
        std::uint32_t option;
        std::uint32_t size;
      } head;
      if (!websocket_.receive(&head, sizeof head) || head.magic != htobe64(wire::option_magic))
        return false;
      const std::uint32_t option = be32toh(head.option);
      if (!websocket_.receive(nullptr, be32toh(head.size))) return false;
      if (option == 1) return send_export(be32toh(flags) & 2);
      if (option == 2) return false;
      if (option == 7) return say_info() && say_option(option, 1, nullptr, 0);
      if (!say_option(option, 0x80000001, nullptr, 0)) return false;
    }
  }

  bool send_export(bool no_zeroes) {
    char answer[10 + 124] = {};
    const std::uint64_t size = htobe64(image_.size());
    std::memcpy(answer, &size, sizeof size);
    std::memcpy(answer + 8, &flags_, sizeof flags_);
    return websocket_.send_message(answer, no_zeroes ? 10 : sizeof answer);
  }

  bool say_info() {
    char info[12] = {};
    const std::uint64_t size = htobe64(image_.size());
    std::memcpy(info + 2, &size, sizeof size);
    std::memcpy(info + 10, &flags_, sizeof flags_);
    return say_option(7, 3, info, sizeof info);
  }

  bool say_option(std::uint32_t option, std::uint32_t type, const char* data, std::size_t size) {
    struct [[gnu::packed]] {
      std::uint64_t magic = htobe64(wire::option_reply_magic);
      std::uint32_t option, type, size;
    } reply;
    reply.option = htobe32(option);
    reply.type = htobe32(type);
    reply.size = htobe32(static_cast<std::uint32_t>(size));
    return websocket_.send_message(&reply, sizeof reply, data, size);
  }

  bool answer(const wire::Request& request) {
    const std::uint16_t command = be16toh(request.command);
    const std::uint64_t offset = be64toh(request.offset);
    const std::uint32_t length = be32toh(request.length);
    wire::Reply reply{htobe32(wire::reply_magic), 0, request.cookie};
    if (command == wire::disconnect) return false;
    if (command == wire::read_command) {
      if (length > reply_max || offset + length > image_.size()) return false;
      return websocket_.send_message(&reply, sizeof reply, &image_[offset], length);
    }
    if (command == wire::write_command && !websocket_.receive(nullptr, length)) return false;
    return websocket_.send_message(&reply, sizeof reply);
  }

  Websocket& websocket_;
  const std::vector<char>& image_;
  std::uint16_t flags_;  // HAS_FLAGS, SEND_FLUSH, CAN_MULTI_CONN; as they go out
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) wire::fail("usage: peer PORT PATH MEBIBYTES [CONNECTIONS SUBPROTOCOL]");
  const auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  const int connections = argc > 4 ? std::atoi(argv[4]) : 1;
  const auto image = make_image(static_cast<std::size_t>(std::atoi(argv[3])) << 20);
  std::string path = argv[2];
  std::string more;
  if (argc > 5) {
    path += "?image=memory&connections=" + std::to_string(connections);
    more = "Sec-WebSocket-Protocol: " + std::string(argv[5]) + "\r\n";
  }
  std::vector<std::jthread> threads;
  for (int i = 0; i < connections; ++i) {
    threads.emplace_back([&] {
      while (true) {
        Websocket websocket(port, path, more);
        if (websocket.is_open()) Export(websocket, image, connections > 1).serve();
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    });
  }
}
