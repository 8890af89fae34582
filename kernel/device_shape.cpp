#include "kernel/device_shape.hpp"

#include <unistd.h>

#include <algorithm>

#include "client/protocol/nbd.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr unsigned connections_max = 16;
constexpr std::uint32_t block_size_min = 512;
constexpr std::size_t identifier_bytes_max =
    1024;  // sysfs shows it on one page, netlink takes it in one message

constexpr std::uint32_t driver_request_max = 32 << 20;  // bytes; the driver's own limit

// What the driver understands (WRITE_ZEROES and ROTATIONAL: from Linux 6.12, ignored before).
constexpr std::uint16_t driver_flags =
    nbd::flag_has_flags | nbd::flag_read_only | nbd::flag_send_flush | nbd::flag_send_fua |
    nbd::flag_rotational | nbd::flag_send_trim | nbd::flag_send_write_zeroes;

}  // namespace

DeviceShape shape_of(const Export& about, const AttachOptions& options, Log& log) {
  DeviceShape shape;
  ENSURE(options.connections >= 1 && options.connections <= connections_max);
  ENSURE(options.timeout.count() > 0 && options.recovery_window.count() >= 0);
  if (options.identifier.size() > identifier_bytes_max) {
    throw Failure(FailureKind::usage, "the identity of the device has more than " +
                                          std::to_string(identifier_bytes_max) +
                                          " bytes: give a shorter --id");
  }
  const std::uint32_t block_size = options.block_size;
  const auto page_size = static_cast<std::uint32_t>(sysconf(_SC_PAGESIZE));
  if (block_size < about.block_size.minimum || block_size > page_size) {
    throw Failure(FailureKind::cannot_attach,
                  "the driver's blocks are " + std::to_string(block_size_min) + " to " +
                      std::to_string(page_size) + " bytes and this export's at least " +
                      std::to_string(about.block_size.minimum) + ", not " +
                      std::to_string(block_size) + ": choose another --block-size");
  }
  ENSURE(block_size >= block_size_min && (block_size & (block_size - 1)) == 0);
  const std::uint64_t rest = about.size % block_size;
  if (about.size - rest == 0) {
    throw Failure(FailureKind::failed, "the export has " + std::to_string(about.size) +
                                           " bytes: a device needs one block of " +
                                           std::to_string(block_size));
  }
  if (rest != 0) {
    log.warning("the end of the export cannot be reached: it is not a whole block",
                {{"bytes", std::to_string(rest)}, {"block-size", std::to_string(block_size)}});
  }
  shape.size = about.size - rest;
  shape.request.block_size = block_size;
  shape.request.timeout_seconds = static_cast<std::uint64_t>(options.timeout.count());
  shape.request.dead_connection_seconds =
      static_cast<std::uint64_t>(options.recovery_window.count());
  // Several connections are always right: one engine stands behind them all, so a FLUSH covers the
  // writes of each.
  shape.request.server_flags =
      (about.transmission_flags & driver_flags) | nbd::flag_has_flags | nbd::flag_can_multi_conn;
  shape.request.identifier = options.identifier;
  shape.request_size_max =
      std::min({options.request_size_max, about.block_size.maximum, driver_request_max});
  return shape;
}

}  // namespace nbdring
