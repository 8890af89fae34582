#pragma once
// How a backend that lives elsewhere is doing, for `status`. Numbers of one moment.

#include <chrono>
#include <cstdint>
#include <string>

namespace nbdring {

struct BackendHealth {
  /// Empty for a local backend, which has nothing to tell; "serving"; "recovering": requests wait;
  /// "failed": requests get EIO.
  std::string state;
  std::chrono::milliseconds since{0};  // how long it has been in this state
  std::uint64_t reconnects = 0;
  std::uint64_t replayed_writes = 0;
  std::uint64_t replayed_bytes = 0;
  std::uint64_t volatile_writes = 0;  // acknowledged, not known to be on stable storage
  std::uint64_t volatile_bytes = 0;
  std::uint64_t lost_writes = 0;  // acknowledged, and given up
  std::chrono::milliseconds longest_stall{0};
  std::string last_reason;  // why the server was lost last; empty: never
  bool is_shared = false;   // all lanes go by one connection: the server allows no more
  std::string endpoint;     // where it is
  std::string tls;          // "TLS1.3 AES-128-GCM"; empty: in the clear

  friend bool operator==(const BackendHealth&, const BackendHealth&) = default;
};

}  // namespace nbdring
