#pragma once
// Two ends of a TCP connection on this machine, where a Unix socket would behave otherwise.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/support/fixtures.hpp"

namespace nbdring {

inline SocketPair tcp_pair() {
  SocketPair pair;
  const FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  pair.far.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const bool is_connected = ::bind(listener.get(), generic, length) == 0 &&
                            ::listen(listener.get(), 1) == 0 &&
                            ::getsockname(listener.get(), generic, &length) == 0 &&
                            ::connect(pair.far.get(), generic, length) == 0;
  EXPECT_TRUE(is_connected);
  pair.near.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return pair;
}

}  // namespace nbdring
