#pragma once
// What a remote backend is told beyond where its connections come from.

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "backends/nbd/connection.hpp"
#include "client/engine/keepsakes.hpp"

namespace nbdring {

struct RemoteOptions {
  bool read_only = false;
  unsigned lanes = 1;  // how many are expected: they share the journal's bytes
  /// Acknowledged writes that may wait for a flush, in bytes, in all lanes together. Memory is
  /// touched as it is used.
  std::size_t journal_bytes = 32 * 1024 * 1024;
  std::size_t journal_share_min = 1024 * 1024;  // what a lane gets however many they are
  /// How long requests wait for a server that is away; none: for ever.
  std::optional<std::chrono::milliseconds> recovery_window;
  /// After a connection whose end nobody has seen: how long its last writes may still be on their
  /// way. Longer than a segment lives in a network whose two ends have forgotten it.
  std::chrono::milliseconds fence_delay{5'000};
  /// For the server to finish what it has and close.
  std::chrono::milliseconds end_deadline{2'000};
  std::chrono::milliseconds backoff_first{100};
  std::chrono::milliseconds backoff_max{30'000};
  /// What a former engine of this device left, and whether it died: see OpenOptions. Null: nothing
  /// is kept.
  Keepsakes* keepsakes = nullptr;
  bool after_crash = false;
  unsigned misled_max = 3;  // broken rules in a row, without an answer in between
  ConnectionOptions connection;
  std::uint32_t jitter_seed = 1;  // of the pauses between attempts: not the same for all clients
  bool io_flusher = false;        // see DeviceOptions
  std::string endpoint;           // for messages
};

}  // namespace nbdring
