#pragma once
// What is measured: a backend that is open, whatever the user named it by. A device is read and
// written with O_DIRECT, so that it is the device that answers and not the page cache. Owned by the
// main thread; lives for all rounds.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "cli/bench/settings.hpp"
#include "cli/config.hpp"
#include "cli/options.hpp"
#include "cli/state.hpp"
#include "client/engine/backend.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

struct BenchTarget {
  std::string name;                  // as the user wrote it
  std::size_t index = 0;             // among the targets
  std::unique_ptr<Backend> backend;  // never null
  std::uint64_t offset = 0;          // bytes; of the range that is used
  std::uint64_t size = 0;            // bytes, of that range
  std::optional<int> engine;         // the process that serves it, as far as it is known
  std::string socket;                // a Unix socket by which it is reached; empty: none
  bool is_left_out = false;          // it hangs: no more of it

  /// CPU of the process that serves it, up to now; none where that cannot be seen. After a
  /// connection is there, for that is how the process at the other end of a socket is found.
  std::optional<std::chrono::nanoseconds> engine_cpu();
};

/// Where a target is looked for.
struct TargetSources {
  const Config& config;
  const CommonOptions& common;
  const RunFolder& devices;
};

/// Opens it, read-only unless something is to be written, and says in the log what a write is going
/// to overwrite. Throws Failure: cannot be opened; in use or read-only and to be written; writing
/// was not allowed (usage, with what would be lost); the range or a block size does not fit.
BenchTarget open_target(const BenchCommand& command, std::size_t index,
                        const TargetSources& sources, Log& log);

}  // namespace nbdring
