#include "backends/nbd/direct.hpp"

#include <fcntl.h>

#include <utility>

#include "backends/nbd/remote_identity.hpp"
#include "client/runtime/error.hpp"
#include "client/transport/socket.hpp"

namespace nbdring {
namespace {

constexpr std::uint32_t driver_block_max = 4096;  // bytes; the page's size
constexpr std::uint32_t driver_request_min = 4096;

constexpr DialOptions simple_replies() {
  DialOptions options;
  options.simple_replies = true;
  return options;
}

[[noreturn]] void refuse(const std::string& what) {
  throw Failure(FailureKind::usage,
                "--path kernel: " + what + " needs the engine; use --path auto");
}

}  // namespace

DirectSource::DirectSource(const BackendForm& form, Log& log)
    : dialer_(form, TlsSettings(), simple_replies(), log) {
  check_direct(form, {}, {});
}

Task<DirectConnection> DirectSource::dial(Loop& loop) const {
  Dialled dialled = co_await dialer_.dial(loop);
  ENSURE(!dialled.tls && !dialled.transmission.structured_replies);
  auto* const stream = dynamic_cast<SocketStream*>(dialled.socket.get());
  ENSURE(stream != nullptr);
  DirectConnection connection;
  connection.socket = stream->take();
  connection.about = std::move(dialled.about);
  const int flags = ::fcntl(connection.socket.get(), F_GETFL);
  ENSURE(flags >= 0 && ::fcntl(connection.socket.get(), F_SETFL, flags & ~O_NONBLOCK) == 0);
  co_return std::move(connection);
}

void check_direct(const BackendForm& form, const std::vector<LayerSpec>& layers,
                  const TlsOptions& tls) {
  const auto* remote = std::get_if<UriSpec>(&form);
  if (remote == nullptr) refuse("a backend that is no NBD server on TCP or a Unix socket");
  if (!layers.empty()) refuse("the layer '" + layers.front().name + "'");
  const std::string& scheme = remote->uri.scheme;
  if (scheme == "nbds" || scheme == "nbds+unix") refuse("TLS (" + scheme + ":)");
  if (scheme != "nbd" && scheme != "nbd+unix") refuse(scheme + ":");
  if (tls_settings_of(form, tls).policy != TlsPolicy::off) refuse("TLS");
}

Export for_driver(const Export& remote, bool read_only) {
  const std::string text = "the export '" + remote.name + "'";
  if (const char* rule = broken_rule(remote)) {
    throw Failure(FailureKind::unreachable, text + " cannot be used: " + rule);
  }
  const BlockSizeConstraints& blocks = remote.block_size;
  if (blocks.minimum > driver_block_max) {
    refuse(text + ", whose blocks have " + std::to_string(blocks.minimum) + " bytes,");
  }
  if (blocks.maximum < driver_request_min) {
    refuse(text + ", which takes " + std::to_string(blocks.maximum) + " bytes at once,");
  }
  Export shown = remote;
  if (read_only) shown.transmission_flags |= nbd::flag_read_only;
  if (shown.is_read_only()) {
    shown.transmission_flags &=
        static_cast<std::uint16_t>(~(nbd::flag_send_trim | nbd::flag_send_write_zeroes));
  }
  return shown;
}

std::string direct_difference(const Export& attached, const Export& offered, unsigned connections) {
  if (connections > 1 && !offered.has(nbd::flag_can_multi_conn)) {
    return "it takes one connection only now";
  }
  return difference(attached, offered);
}

}  // namespace nbdring
