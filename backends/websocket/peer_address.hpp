#pragma once
// Who is at the other end of an accepted socket, and how many connections he may have.

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace nbdring {

struct PeerAddress {
  std::string text;       // "192.0.2.1", "2001:db8::1", "a Unix socket"
  std::string group;      // who shares a limit: an address, of IPv6 one /64; empty: no limit
  bool is_local = false;  // Unix, or a loopback address
};

PeerAddress peer_address_of(int socket);

/// Connections in all and of each group. Any thread.
class AddressCounts : public std::enable_shared_from_this<AddressCounts> {
 public:
  AddressCounts(std::size_t most, std::size_t most_each) : most_(most), most_each_(most_each) {}

  /// Gives its place back when it goes. Keeps the counts alive.
  class Place;
  /// Null: there are too many.
  std::shared_ptr<Place> enter(const std::string& group);
  std::size_t all() const;

 private:
  void leave(const std::string& group) noexcept;

  const std::size_t most_;
  const std::size_t most_each_;
  mutable std::mutex lock_;  // guards the two below
  std::size_t all_ = 0;
  std::map<std::string, std::size_t> each_;
};

class AddressCounts::Place {
 public:
  Place(std::shared_ptr<AddressCounts> counts, std::string group);
  ~Place();
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  const std::shared_ptr<AddressCounts> counts_;
  const std::string group_;
};

}  // namespace nbdring
