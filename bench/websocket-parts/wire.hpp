#pragma once
// What the ends of bench/websocket and the pump of bench/native share: whole reads and writes,
// big-endian fields, NBD's words. On purpose nothing of the project's own: what is measured is not
// to be its own judge. Whatever fails ends the program.

#include <endian.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace wire {

constexpr std::uint64_t option_magic = 0x49484156454F5054;  // IHAVEOPT
constexpr std::uint64_t option_reply_magic = 0x0003e889045565a9;
constexpr std::uint32_t request_magic = 0x25609513;
constexpr std::uint32_t reply_magic = 0x67446698;
enum Command : std::uint16_t { read_command, write_command, disconnect, flush };

struct [[gnu::packed]] Request {
  std::uint32_t magic;
  std::uint16_t flags;
  std::uint16_t command;
  std::uint64_t cookie;
  std::uint64_t offset;
  std::uint32_t length;
};

struct [[gnu::packed]] Reply {
  std::uint32_t magic;
  std::uint32_t error;
  std::uint64_t cookie;
};

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "bench: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

/// False at the stream's end.
inline bool read_all(int fd, void* to, std::size_t size) {
  for (auto* at = static_cast<char*>(to); size > 0;) {
    const ssize_t count = read(fd, at, size);
    if (count <= 0) return false;
    at += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

inline bool write_all(int fd, const void* from, std::size_t size) {
  for (auto* at = static_cast<const char*>(from); size > 0;) {
    const ssize_t count = send(fd, at, size, MSG_NOSIGNAL);
    if (count <= 0) return false;
    at += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

inline sockaddr_un unix_address(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (std::strlen(path) >= sizeof address.sun_path) fail(path);
  std::strcpy(address.sun_path, path);
  return address;
}

}  // namespace wire
