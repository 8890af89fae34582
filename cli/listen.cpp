#include "cli/listen.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <memory>

#include "client/runtime/error.hpp"
#include "kernel/deadline.hpp"

namespace nbdring {
namespace {

constexpr int backlog = 128;
constexpr std::chrono::seconds ring_teardown{5};  // milliseconds on an idle machine

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    throw Failure(FailureKind::usage, "'" + path + "' cannot be a Unix socket's path: 1 to " +
                                          std::to_string(sizeof address.sun_path - 1) +
                                          " bytes; choose a shorter one");
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

FileDescriptor unix_socket() {
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) fail_errno(FailureKind::failed, "cannot create a Unix socket");
  return socket;
}

// The mode of the file comes from the socket's own (unix(7) does not say so; net/unix/af_unix.c
// does), so that no moment exists in which somebody else may connect.
int bind_unix(int socket, const sockaddr_un& address) {
  ::fchmod(socket, 0600);
  return ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// Who was killed still listens for a moment: the kernel takes a ring down, and with it the accept
// that waits in it, after the process has gone. A listener that is alive needs no second look; one
// whose process has gone may have passed the socket on.
bool is_in_use(const std::string& path) {
  const FileDescriptor probe = connect_unix(path);
  if (!probe.is_open()) return errno != ECONNREFUSED;
  ucred listener{};
  socklen_t length = sizeof listener;
  if (::getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &listener, &length) != 0) return true;
  const bool is_alive = listener.pid <= 0 || ::kill(listener.pid, 0) == 0 || errno != ESRCH;
  const auto has_closed = [&path] {
    return !connect_unix(path).is_open() && errno == ECONNREFUSED;  // not merely a full backlog
  };
  return is_alive || !wait_until(has_closed, Deadline::in(ring_teardown));
}

// Removes a socket file whose owner has died; fails when it is in use, or is no socket.
void remove_stale(const std::string& path) {
  struct stat file {};
  if (::lstat(path.c_str(), &file) == 0 && !S_ISSOCK(file.st_mode)) {
    throw Failure(FailureKind::failed,
                  path + " exists and is not a socket; choose another path or remove it");
  }
  if (is_in_use(path)) {
    throw Failure(FailureKind::busy,
                  "somebody listens on " + path + " already; stop them or choose another path");
  }
  ::unlink(path.c_str());
}

FileDescriptor listen_on(const addrinfo& address) {
  ENSURE(address.ai_socktype == SOCK_STREAM);
  FileDescriptor socket(
      ::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC, address.ai_protocol));
  if (!socket.is_open()) return {};
  constexpr int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // [::] must not take the port away from 0.0.0.0, which has a socket of its own.
  if (address.ai_family == AF_INET6) {
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  if (::bind(socket.get(), address.ai_addr, address.ai_addrlen) != 0) return {};
  if (::listen(socket.get(), backlog) != 0) return {};
  return socket;
}

struct SocketName {
  sockaddr_storage storage{};
  explicit SocketName(int socket) {
    socklen_t length = sizeof storage;
    ENSURE(::getsockname(socket, reinterpret_cast<sockaddr*>(&storage), &length) == 0);
  }
  int family() const { return storage.ss_family; }
  const sockaddr_in& in() const { return reinterpret_cast<const sockaddr_in&>(storage); }
  const sockaddr_in6& in6() const { return reinterpret_cast<const sockaddr_in6&>(storage); }
};

bool has_option(int socket, int option, int wanted) {
  int value = 0;
  socklen_t length = sizeof value;
  return ::getsockopt(socket, SOL_SOCKET, option, &value, &length) == 0 && value == wanted;
}

}  // namespace

UnixListener::UnixListener(const std::string& path, Taken taken)
    : socket_(unix_socket()), path_(path) {
  const std::string place = taken == Taken::replace ? path + ".new" : path;
  const sockaddr_un address = unix_address(place);
  if (taken == Taken::replace) ::unlink(place.c_str());
  int result = bind_unix(socket_.get(), address);
  if (result != 0 && errno == EADDRINUSE) {
    remove_stale(place);
    result = bind_unix(socket_.get(), address);
  }
  if (result != 0) fail_errno(FailureKind::failed, "cannot listen on " + place);
  ::lstat(place.c_str(), &file_);
  const bool listens = ::listen(socket_.get(), backlog) == 0;
  if (!listens || (place != path && ::rename(place.c_str(), path.c_str()) != 0)) {
    fail_errno(FailureKind::failed, "cannot listen on " + path);
  }
}

UnixListener::~UnixListener() {
  struct stat now {};
  if (!socket_.is_open() || ::lstat(path_.c_str(), &now) != 0) return;
  if (now.st_dev == file_.st_dev && now.st_ino == file_.st_ino) ::unlink(path_.c_str());
}

std::vector<FileDescriptor> listen_tcp(const TcpEndpoint& endpoint) {
  const std::string place = "'" + endpoint.host + "' port " + std::to_string(endpoint.port);
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &wanted, &found);
  if (error != 0) {
    throw Failure(FailureKind::failed,
                  "cannot listen on " + place + ": " + gai_strerror(error) + "; check the address");
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<FileDescriptor> sockets;
  int last_error = 0;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    FileDescriptor socket = listen_on(*address);
    if (!socket.is_open()) {
      last_error = errno;
      continue;
    }
    sockets.push_back(std::move(socket));
    if (endpoint.port == 0) break;
  }
  if (sockets.empty()) fail_errno(FailureKind::failed, "cannot listen on " + place, last_error);
  return sockets;
}

std::string address_of(int socket) {
  const SocketName name(socket);
  char text[INET6_ADDRSTRLEN] = "";
  if (name.family() == AF_INET) {
    ::inet_ntop(AF_INET, &name.in().sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(name.in().sin_port));
  }
  if (name.family() == AF_INET6) {
    ::inet_ntop(AF_INET6, &name.in6().sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(name.in6().sin6_port));
  }
  return "a Unix socket";
}

bool is_local(int socket) {
  const SocketName name(socket);
  if (name.family() == AF_INET) return ntohl(name.in().sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
  if (name.family() == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&name.in6().sin6_addr);
  return true;
}

bool is_stream_socket(int fd) { return has_option(fd, SO_TYPE, SOCK_STREAM); }

bool is_listening(int socket) { return has_option(socket, SO_ACCEPTCONN, 1); }

FileDescriptor connect_unix(const std::string& path) {
  const sockaddr_un address = unix_address(path);
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return {};
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    socket.reset();
    errno = error;
  }
  return socket;
}

}  // namespace nbdring
