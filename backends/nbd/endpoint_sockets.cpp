// Endpoints that are sockets from the start: TCP, Unix, vsock.

#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <mutex>
#include <optional>
#include <vector>

#include "backends/nbd/endpoint_kinds.hpp"
#include "client/runtime/error.hpp"
#include "client/transport/connect_race.hpp"
#include "client/transport/socket.hpp"

namespace nbdring {
namespace {

constexpr std::uint16_t nbd_port = 10809;  // IANA's

void set(int socket, int level, int option, int value) {
  // A kernel that has not got one of them still has a connection.
  ::setsockopt(socket, level, option, &value, sizeof value);
}

// A peer that is gone without a word is noticed: idle, after 10 s + 3 probes of 5 s; with
// something on the way, after 30 s without an acknowledgement (tcp(7)). The buffers' sizes are left
// to the kernel, which grows them with the connection; a number of ours would end that.
void prepare_tcp(int socket) {
  set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(socket, IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set(socket, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(socket, IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, 30'000);
}

bool is_this_machine(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

// A name may stand for several machines. So the address that has served once is tried first from
// then on: the connections of one device reach one server as long as it is there.
class TcpEndpoint final : public Endpoint {
 public:
  TcpEndpoint(const Uri& uri, Log& log, Lookup lookup)
      : log_(log),
        lookup_(std::move(lookup)),
        host_(uri.host.empty() ? "localhost" : uri.host),
        port_(static_cast<std::uint16_t>(uri.port.value_or(nbd_port))),
        text_((host_.find(':') == std::string::npos ? host_ : "[" + host_ + "]") + ":" +
              std::to_string(port_)) {}

  Task<std::unique_ptr<Stream>> connect(Loop& loop, Clock::time_point deadline) override {
    Resolution found = co_await resolve(loop, host_, port_, deadline, lookup_);
    if (found.addresses.empty()) fail_unreachable(text_, found.problem);
    const std::vector<SocketAddress> addresses = in_order(found.addresses);
    ConnectRace race(loop, addresses);
    const std::size_t winner = co_await race.run(deadline);
    if (winner == addresses.size()) fail_unreachable(text_, reasons(addresses, race));
    note_winner(addresses[winner]);
    FileDescriptor socket = race.take_socket(winner);
    prepare_tcp(socket.get());
    co_return stream_over(loop, std::move(socket));
  }

  bool reaches_one_server() const override { return true; }
  bool is_private() const override { return is_this_machine(host_); }
  const std::string& text() const override { return text_; }

 private:
  std::vector<SocketAddress> in_order(const std::vector<SocketAddress>& found) {
    std::vector<SocketAddress> addresses = interleaved(found);
    const std::lock_guard lock(mutex_);
    if (!last_) return addresses;
    const auto last = std::find(addresses.begin(), addresses.end(), *last_);
    if (last != addresses.end()) std::rotate(addresses.begin(), last, last + 1);
    return addresses;
  }

  void note_winner(const SocketAddress& address) {
    const std::lock_guard lock(mutex_);
    if (last_ && !(*last_ == address)) {
      log_.warning(text_ + " is now reached at " + address.text() + ", before it was at " +
                   last_->text());
    }
    last_ = address;
  }

  std::string reasons(const std::vector<SocketAddress>& addresses, const ConnectRace& race) const {
    std::string text;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      const std::string address = addresses[i].text();
      const int error = race.error(i) != 0 ? race.error(i) : ETIMEDOUT;
      if (!text.empty()) text += ", ";
      if (address != host_) text.append(address).append(" ");
      text += words_of(error);
    }
    return text;
  }

  Log& log_;
  Lookup lookup_;
  std::string host_;
  std::uint16_t port_;
  std::string text_;
  std::mutex mutex_;
  std::optional<SocketAddress> last_;
};

class UnixEndpoint final : public Endpoint {
 public:
  UnixEndpoint(const std::string& path, Log& log)
      : log_(log), address_(SocketAddress::of_unix(path)) {
    text_ = "the socket " + path;
    if (path.starts_with('\0')) text_ = "the abstract socket @" + path.substr(1);
  }

  Task<std::unique_ptr<Stream>> connect(Loop& loop, Clock::time_point deadline) override {
    FileDescriptor socket;
    const int error = co_await connect_to(loop, socket, address_, deadline);
    if (error != 0) fail_unreachable(text_, words_of(error));
    look_at_owner(socket.get());
    widen_unix(socket.get());
    co_return stream_over(loop, std::move(socket));
  }

  bool reaches_one_server() const override { return true; }
  bool is_private() const override { return true; }
  const std::string& text() const override { return text_; }

 private:
  // Whoever is first can listen at a path in a shared folder, or at an abstract name.
  void look_at_owner(int socket) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
    if (peer.uid == 0 || peer.uid == ::geteuid() || has_warned_.exchange(true)) return;
    log_.warning("the server at " + text_ + " runs as user " + std::to_string(peer.uid) +
                 ", which is neither you nor root: it sees and can change all data");
  }

  Log& log_;
  SocketAddress address_;
  std::string text_;
  std::atomic<bool> has_warned_{false};
};

class VsockEndpoint final : public Endpoint {
 public:
  VsockEndpoint(std::uint32_t context_id, std::uint32_t port)
      : address_(SocketAddress::of_vsock(context_id, port)),
        text_("vsock " + std::to_string(context_id) + ":" + std::to_string(port)) {}

  Task<std::unique_ptr<Stream>> connect(Loop& loop, Clock::time_point deadline) override {
    FileDescriptor socket;
    const int error = co_await connect_to(loop, socket, address_, deadline);
    if (error != 0) fail_unreachable(text_, words_of(error));
    co_return stream_over(loop, std::move(socket));
  }

  bool reaches_one_server() const override { return true; }
  bool is_private() const override { return true; }
  const std::string& text() const override { return text_; }

 private:
  SocketAddress address_;
  std::string text_;
};

}  // namespace

std::unique_ptr<Endpoint> make_tcp_endpoint(const Uri& uri, Log& log, Lookup lookup) {
  return std::make_unique<TcpEndpoint>(uri, log, std::move(lookup));
}

std::unique_ptr<Endpoint> make_unix_endpoint(const Uri& uri, Log& log) {
  std::string path(*uri.parameter("socket"));
  // The engine leaves the folder that it was started in.
  if (!path.starts_with('\0') && !path.starts_with('/')) path.insert(0, current_folder() + "/");
  return std::make_unique<UnixEndpoint>(path, log);
}

std::unique_ptr<Endpoint> make_vsock_endpoint(const Uri& uri) {
  std::uint32_t context_id = VMADDR_CID_HOST;
  std::from_chars(uri.host.data(), uri.host.data() + uri.host.size(), context_id);
  return std::make_unique<VsockEndpoint>(context_id, uri.port.value_or(nbd_port));
}

}  // namespace nbdring
