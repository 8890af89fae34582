#pragma once
// The file of a cow layer: which blocks were changed, and what is in them. Made at the start, with
// holes for all that was not written; its size is that of the base and a little.
//
//   0        the header, 4096 bytes, big-endian (OverlayHeader in cow_file.cpp): magic, version,
//            block size, the base's size and its mark, where map and data begin, a checksum
//   4096     the map: a bit for each block of 64 KiB (block_map.hpp), in whole pages of 4096 bytes
//   ...      the data, from a multiple of 64 KiB on: byte N of the export at data + N
//
// A block whose bit is 0 is the base's, whatever stands in the data. Order at a flush: data,
// fdatasync, map, fdatasync; so after a crash each bit stands for data that is there. The header is
// written before the file has its size, and both are stable before the first request.
//
// The mark is made of the base's first and last block: an overlay over another base, or over one
// that was changed, would be garbage, and is refused. Changes elsewhere in the base go unnoticed:
// who keeps an overlay leaves its base alone.

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "backends/file.hpp"
#include "backends/layers/block_map.hpp"
#include "backends/layers/layer.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

struct OverlayBase {
  std::uint64_t size = 0;  // bytes
  std::uint64_t mark = 0;
};

struct OverlayFile {
  FileDescriptor file;       // for the map; locked as long as it is open
  std::uint64_t map_at = 0;  // bytes
  std::unique_ptr<FileBackend> data;
  bool is_new = false;
};

/// Makes the file where there is none (or an empty one), else checks it and fills the map. Throws
/// Failure: busy for longer than lock_wait; of another base; not an overlay.
OverlayFile open_overlay(const std::string& path, const OverlayBase& base, BlockMap& map,
                         std::chrono::milliseconds lock_wait, Log& log);

/// A file without a name, gone with the program: at `path`, where nothing must be, or for an empty
/// path in $TMPDIR or /var/tmp. Throws Failure.
std::unique_ptr<FileBackend> open_scratch_file(const std::string& path, std::uint64_t bytes,
                                               Log& log);

/// The same without a path, held by the keepsakes under this name. must_exist: it is one that they
/// have. Throws Failure.
std::unique_ptr<FileBackend> open_kept_file(const LayerOptions& options, const std::string& name,
                                            bool must_exist, std::uint64_t bytes, Log& log);

/// FNV-1a, 64 bits.
constexpr std::uint64_t fnv_start = 0xcbf29ce484222325;
std::uint64_t fnv(std::span<const std::byte> bytes, std::uint64_t hash = fnv_start);

}  // namespace nbdring
