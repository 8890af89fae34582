#pragma once
// Where the members of a tar archive lie, for one member, or for a disk of an XVA, which is a
// folder of numbered blocks.
//
// Read: ustar, GNU's long names and large numbers, pax headers (path, size). Every header's
// checksum is checked, names and extended headers are limited, and so is the number of members.
// Refused, with a line: sparse members, compressed archives, links as the member asked for.
//
// Sources: pax(1) and ustar of POSIX.1-2017; "Basic Tar Format" of GNU tar's manual.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backends/layers/layers_probe.hpp"

namespace nbdring {

struct TarMember {
  std::string name;  // without "./" in front and '/' behind
  char type = '0';   // of the header; a file is '0'
  bool is_sparse = false;
  std::uint64_t offset = 0;  // of its bytes
  std::uint64_t size = 0;    // bytes

  bool is_file() const { return type == '0' || type == '\0' || type == '7'; }
};

class TarReader {
 public:
  explicit TarReader(LayerProbe& archive) : archive_(archive) {}

  /// None at the archive's end. Throws Failure (failed) for what is no tar archive, or a damaged
  /// one.
  std::optional<TarMember> next();

 private:
  struct Extended {  // what precedes a member and is about it
    std::optional<std::string> name;
    std::optional<std::uint64_t> size;
    bool is_sparse = false;
  };

  std::optional<TarMember> read_header();
  void skip_sparse_maps(TarMember& member);
  std::string read_text(const TarMember& member);
  void read_pax(const TarMember& member, Extended& extended) const;
  [[noreturn]] void fail(const std::string& problem) const;

  LayerProbe& archive_;
  std::uint64_t at_ = 0;  // of the next header
  std::uint64_t members_ = 0;
};

/// XVA: "Ref:12/00000003" holds the bytes from 3 MiB on; a number that is missing means zeros.
struct XvaBlock {
  std::uint32_t number = 0;
  std::uint32_t size = 0;    // bytes; less than all only in the last one
  std::uint64_t offset = 0;  // in the archive
};
constexpr std::uint64_t xva_block_bytes = 1024 * 1024;

/// What is asked for: the member, or the blocks of the folder of that name in the order of their
/// numbers.
struct TarFound {
  std::optional<TarMember> member;
  std::vector<XvaBlock> blocks;
};

/// Throws Failure (usage) that names members where neither is there.
TarFound find_in_tar(LayerProbe& archive, const std::string& name);

}  // namespace nbdring
