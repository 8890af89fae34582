#pragma once
// The transmission flags of an export whose backend does everything: what our local backends offer.
// MULTI_CONN is always true: one engine stands behind all connections, and a flush on one covers
// the writes of all.

#include <cstdint>

#include "client/protocol/nbd.hpp"

namespace nbdring {

constexpr std::uint16_t offered_flags(bool read_only) {
  constexpr std::uint16_t always =
      nbd::flag_has_flags | nbd::flag_send_flush | nbd::flag_send_fua | nbd::flag_can_multi_conn;
  constexpr std::uint16_t writing =
      nbd::flag_send_trim | nbd::flag_send_write_zeroes | nbd::flag_send_fast_zero;
  return read_only ? always | nbd::flag_read_only : always | writing;
}

}  // namespace nbdring
