#include "client/transport/connect.hpp"

#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

template <typename Address>
SocketAddress stored(const Address& address, std::size_t length) {
  static_assert(sizeof(Address) <= sizeof(sockaddr_storage));
  SocketAddress result;
  std::memcpy(&result.storage, &address, sizeof address);
  result.length = static_cast<socklen_t>(length);
  return result;
}

// The kernel gives a vsock connection 2 s by itself.
void let_it_take(int socket, Clock::duration time) {
  const auto left = std::max(std::chrono::duration_cast<milliseconds>(time), milliseconds(1));
  timeval limit{};
  limit.tv_sec = left.count() / 1000;
  limit.tv_usec = left.count() % 1000 * 1000;
  ::setsockopt(socket, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof limit);
}

int start_connecting(int socket, const SocketAddress& address) {
  int result = 0;
  do {
    result = ::connect(socket, reinterpret_cast<const sockaddr*>(&address.storage), address.length);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

int error_of(int socket) {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

// connect(2) of a Unix socket whose queue is full says EAGAIN, and no poll tells when there is room
// again.
Task<int> connect_when_there_is_room(Loop& loop, int socket, const SocketAddress& address,
                                     Clock::time_point deadline) {
  constexpr milliseconds longest{100};
  milliseconds pause{1};
  int error = EAGAIN;
  while (error == EAGAIN) {
    if (Clock::now() >= deadline) co_return ETIMEDOUT;
    co_await loop.sleep(pause);
    pause = std::min(pause * 2, longest);
    error = start_connecting(socket, address);
  }
  co_return error;
}

Task<int> wait_connected(Loop& loop, int socket, Clock::time_point deadline) {
  const WaitDeadline limit(loop, deadline, socket);
  const int events = co_await loop.writable(socket);
  if (events == -ECANCELED) co_return ETIMEDOUT;
  co_return events < 0 ? -events : error_of(socket);
}

}  // namespace

SocketAddress SocketAddress::of_unix(std::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const bool is_abstract = path.starts_with('\0');
  // A path ends with a NUL, an abstract name with its length.
  if (path.size() + (is_abstract ? 0 : 1) > sizeof address.sun_path) {
    throw Failure(FailureKind::usage,
                  "the socket's path '" + std::string(path) + "' is longer than " +
                      std::to_string(sizeof address.sun_path - 1) + " bytes, which Linux refuses");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return stored(address,
                is_abstract ? offsetof(sockaddr_un, sun_path) + path.size() : sizeof address);
}

SocketAddress SocketAddress::of_vsock(std::uint32_t context_id, std::uint32_t port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = context_id;
  address.svm_port = port;
  return stored(address, sizeof address);
}

std::string SocketAddress::text() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (family() == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    return ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
  }
  ENSURE(family() == AF_INET6);
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
  std::string result = ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
  std::array<char, IF_NAMESIZE> interface {};
  if (v6.sin6_scope_id != 0 && ::if_indextoname(v6.sin6_scope_id, interface.data()) != nullptr)
    result.append("%").append(interface.data());
  return result;
}

bool operator==(const SocketAddress& a, const SocketAddress& b) {
  return a.length == b.length && std::memcmp(&a.storage, &b.storage, a.length) == 0;
}

Task<int> connect_to(Loop& loop, FileDescriptor& socket, const SocketAddress& address,
                     Clock::time_point deadline) {
  socket.reset(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) co_return errno;
  if (address.family() == AF_VSOCK) let_it_take(socket.get(), deadline - Clock::now());
  int error = start_connecting(socket.get(), address);
  if (error == EAGAIN && address.family() == AF_UNIX) {
    error = co_await connect_when_there_is_room(loop, socket.get(), address, deadline);
  } else if (error == EINPROGRESS) {
    error = co_await wait_connected(loop, socket.get(), deadline);
  }
  if (error != 0) socket.reset();
  co_return error;
}

}  // namespace nbdring
