#pragma once
// An export: what a server serves and a client attaches. Constant once it is made, so any thread
// may read it. Rules: the sections "Transmission flags" and "Size constraints" of the protocol
// document.

#include <cstdint>
#include <string>

#include "client/protocol/nbd.hpp"

namespace nbdring {

struct BlockSizeConstraints {
  std::uint32_t minimum =
      nbd::default_minimum_block;  // bytes; offsets and lengths are multiples of it
  std::uint32_t preferred = 4096;  // bytes; from here on requests are efficient
  std::uint32_t maximum =
      nbd::default_maximum_payload;  // bytes of a payload; TRIM and WRITE_ZEROES may exceed it
};

struct Export {
  std::string name;
  std::string description;
  std::uint64_t size = 0;  // bytes
  std::uint16_t transmission_flags = nbd::flag_has_flags;
  BlockSizeConstraints block_size;

  bool has(std::uint16_t flag) const { return (transmission_flags & flag) != 0; }
  bool is_read_only() const { return has(nbd::flag_read_only); }
};

/// The rule of the protocol that is broken, or null. A server checks what it is going to offer, a
/// client what it was offered: wrong constraints mean a broken or hostile peer.
const char* broken_rule(const BlockSizeConstraints& constraints) noexcept;
const char* broken_rule(const Export& about) noexcept;

}  // namespace nbdring
