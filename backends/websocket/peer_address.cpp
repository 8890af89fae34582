#include "backends/websocket/peer_address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>

namespace nbdring {
namespace {

constexpr std::size_t network_bytes = 8;  // of an IPv6 address: what one customer gets is a /64

std::string text_of(int family, const void* address) {
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(family, address, text, sizeof text);
  return text;
}

PeerAddress of_ipv4(const in_addr& address) {
  const std::string text = text_of(AF_INET, &address);
  return {text, text, ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET};
}

PeerAddress of_ipv6(const in6_addr& address) {
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    in_addr inner{};
    inner.s_addr = address.s6_addr32[3];
    return of_ipv4(inner);
  }
  const std::string network(reinterpret_cast<const char*>(address.s6_addr), network_bytes);
  return {text_of(AF_INET6, &address), network, IN6_IS_ADDR_LOOPBACK(&address) != 0};
}

}  // namespace

PeerAddress peer_address_of(int socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
    return {"somebody who has gone", "gone", false};
  }
  if (storage.ss_family == AF_INET) {
    return of_ipv4(reinterpret_cast<const sockaddr_in&>(storage).sin_addr);
  }
  if (storage.ss_family == AF_INET6) {
    return of_ipv6(reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr);
  }
  return {"a Unix socket", "", true};
}

std::shared_ptr<AddressCounts::Place> AddressCounts::enter(const std::string& group) {
  const std::lock_guard guard(lock_);
  if (all_ >= most_) return nullptr;
  if (!group.empty()) {
    std::size_t& count = each_[group];
    if (count >= most_each_) return nullptr;
    ++count;
  }
  ++all_;
  return std::make_shared<Place>(shared_from_this(), group);
}

void AddressCounts::leave(const std::string& group) noexcept {
  const std::lock_guard guard(lock_);
  --all_;
  const auto found = each_.find(group);
  if (found != each_.end() && --found->second == 0) each_.erase(found);
}

std::size_t AddressCounts::all() const {
  const std::lock_guard guard(lock_);
  return all_;
}

AddressCounts::Place::Place(std::shared_ptr<AddressCounts> counts, std::string group)
    : counts_(std::move(counts)), group_(std::move(group)) {}

AddressCounts::Place::~Place() { counts_->leave(group_); }

}  // namespace nbdring
