#include "cli/direct_links.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "cli/channel.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

// Whoever disconnects the device ends its connections first: that it was he is seen a moment later.
constexpr milliseconds first_pause{20};
constexpr milliseconds longest_pause{1000};
constexpr milliseconds refill_time{1500};

std::string name_of_link(std::size_t link) { return "driver-" + std::to_string(link); }

// A write that waits in a dead socket for the network would reach the server behind newer ones: the
// driver has shut the socket down, and TCP still sends what is queued. Dropped with a reset (see
// SocketStream::reset()), by the time a new connection takes its place. False: not yet.
bool drop_queue(int socket) {
  int domain = 0;
  socklen_t length = sizeof domain;
  ENSURE(::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0);
  if (domain == AF_UNIX) return true;  // what was sent is the server's already
  const sockaddr nowhere{AF_UNSPEC, {}};
  return ::connect(socket, &nowhere, sizeof nowhere) == 0;
}

milliseconds since(std::chrono::steady_clock::time_point moment) {
  return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - moment);
}

}  // namespace

DirectLinks::DirectLinks(const DirectParts& parts, Export attached,
                         std::vector<FileDescriptor> connections)
    : parts_(parts), attached_(std::move(attached)), links_(connections.size()) {
  ENSURE(!connections.empty());
  for (std::size_t i = 0; i < links_.size(); ++i) {
    links_[i].socket = std::move(connections[i]);
    keep(i);
  }
}

std::vector<FileDescriptor> DirectLinks::find(Keepsakes& keepsakes, unsigned connections) {
  std::vector<FileDescriptor> found;
  for (unsigned i = 0; i < connections; ++i) {
    auto socket = keepsakes.find(name_of_link(i));
    if (!socket) return {};
    found.push_back(std::move(*socket));
  }
  return found;
}

Task<void> DirectLinks::run() {
  Scope scope(frames());
  for (std::size_t i = 0; i < links_.size(); ++i) scope.spawn(watch(i));
  co_await scope.join();
}

void DirectLinks::stop() noexcept {
  stopping_ = true;
  for (const Link& link : links_) parts_.loop.cancel(link.socket.get());
}

void DirectLinks::shut_down() noexcept {
  ENSURE(stopping_);
  for (const Link& link : links_) ::shutdown(link.socket.get(), SHUT_RDWR);
}

Task<void> DirectLinks::watch(std::size_t link) {
  while (!stopping_) {
    const int result = co_await parts_.loop.hung_up(links_[link].socket.get());
    if (result < 0 || stopping_) continue;
    note_lost(link);
    co_await replace(link);
  }
}

Task<void> DirectLinks::replace(std::size_t link) {
  for (auto pause = first_pause; links_[link].is_lost; pause = std::min(2 * pause, longest_pause)) {
    co_await parts_.loop.sleep(pause);
    if (!stopping_ && !parts_.attachment.is_held()) {
      is_over_ = true;
      stop();
    }
    if (stopping_) break;
    if (!drop_queue(links_[link].socket.get())) continue;
    co_await try_to_replace(link);
  }
}

Task<void> DirectLinks::try_to_replace(std::size_t link) {
  std::string reason;
  try {
    DirectConnection connection = co_await parts_.source.dial(parts_.loop);
    if (stopping_) co_return;
    const auto connections = static_cast<unsigned>(links_.size());
    reason = direct_difference(attached_, connection.about, connections);
    if (reason.empty()) take(link, std::move(connection));
  } catch (const Failure& failure) {
    reason = failure.what();
  }
  if (!reason.empty()) note_failure(reason);
}

// A failure here is the driver's, which has ended the device: the next look at it tells.
void DirectLinks::take(std::size_t link, DirectConnection connection) {
  const auto dead = [this] { return static_cast<unsigned>(links_.size() - alive()); };
  FileDescriptor ours = duplicate(connection.socket.get());
  const bool taken = parts_.attachment.refill_with(std::move(connection.socket), dead, refill_time);
  if (!taken) return;
  links_[link].socket = std::move(ours);
  links_[link].is_lost = false;
  note_replaced();
  keep(link);
}

void DirectLinks::keep(std::size_t link) {
  parts_.keepsakes.keep(name_of_link(link), links_[link].socket.get());
}

void DirectLinks::note_lost(std::size_t link) {
  ENSURE(!links_[link].is_lost);
  links_[link].is_lost = true;
  ++lost_;
  if (alive() == 0) away_since_ = Clock::now();
}

void DirectLinks::note_failure(const std::string& reason) {
  last_reason_ = reason;
  if (std::exchange(said_, reason) == reason) return;
  parts_.log.warning("a connection is lost and cannot be replaced yet",
                     {{"device", parts_.attachment.path()}, {"reason", reason}});
}

void DirectLinks::note_replaced() {
  ++replaced_;
  said_.clear();
  if (alive() > 1) return;
  const milliseconds away = since(away_since_);
  longest_stall_ = std::max(longest_stall_, away);
  back_since_ = Clock::now();
  parts_.log.warning(
      "connected again; where the server had crashed, what it had not flushed is lost",
      {{"device", parts_.attachment.path()},
       {"server", parts_.source.endpoint()},
       {"ms", std::to_string(away.count())}});
}

std::size_t DirectLinks::alive() const {
  return static_cast<std::size_t>(
      std::count_if(links_.begin(), links_.end(), [](const Link& link) { return !link.is_lost; }));
}

BackendHealth DirectLinks::health() const {
  BackendHealth health;
  health.state = alive() > 0 ? "serving" : "recovering";
  health.since = since(alive() > 0 ? back_since_ : away_since_);
  health.reconnects = replaced_;
  health.longest_stall = longest_stall_;
  health.last_reason = last_reason_;
  health.endpoint = parts_.source.endpoint();
  return health;
}

std::vector<int> DirectLinks::descriptors() const {
  std::vector<int> numbers;
  for (const Link& link : links_) numbers.push_back(link.socket.get());
  return numbers;
}

}  // namespace nbdring
