// What Peers knows, and what it tells of it. The ways of connections: peers_passage.cpp.

#include "backends/websocket/peers.hpp"

#include <algorithm>
#include <utility>

#include "backends/websocket/peer_arrival.hpp"

namespace nbdring {
namespace {

constexpr unsigned connections_max = 64;  // that a peer may say it keeps
constexpr unsigned conflict = 409;

}  // namespace

std::shared_ptr<Peers> Peers::make(const PeersOptions& options) {
  return std::shared_ptr<Peers>(new Peers(options));
}

Peers::Peers(const PeersOptions& options) : options_(options) {}

Peers::~Peers() { ENSURE(waiting_.empty() && waits_.empty() && in_use_.empty()); }

void Peers::set_watch(Watch* watch) {
  const std::lock_guard guard(lock_);
  watch_ = watch;
}

PeersStanding Peers::standing() const {
  const std::lock_guard guard(lock_);
  return standing_;
}

unsigned Peers::connections() const {
  const std::lock_guard guard(lock_);
  return is_single() ? 1 : connections_;
}

std::optional<HttpError> Peers::objection(const PeerInfo& info) const {
  const std::lock_guard guard(lock_);
  if (closed_) return HttpError{conflict, "the session is over"};
  if (info.image != image_ && standing_.has_come) {
    return HttpError{conflict, "the session is of another image"};
  }
  return std::nullopt;
}

void Peers::set_close(std::uint16_t code, std::string reason) {
  const std::lock_guard guard(lock_);
  close_code_ = code;
  close_reason_ = std::move(reason);
}

void Peers::set_single() {
  const std::lock_guard guard(lock_);
  single_ = true;
  dismiss_waiting(in_use_.empty() ? 1 : 0);
}

void Peers::close(std::uint16_t code, std::string reason) {
  const std::lock_guard guard(lock_);
  close_code_ = code;
  close_reason_ = std::move(reason);
  closed_ = true;
  end_waits(waits_);
  dismiss_waiting(0);
  for (PeerStream* stream : in_use_) stream->ask_to_close();
}

void Peers::note_arrival(const PeerInfo& info) {
  if (standing_.connections++ == 0) {
    standing_.here_since = Clock::now();
    if (standing_.has_come) ++standing_.returns;
    standing_.was_ejected = false;
    connections_ = std::clamp(info.connections, 1U, connections_max);
  }
  if (!standing_.has_come) image_ = info.image;
  standing_.has_come = true;
  standing_.away_since.reset();
  standing_.address = info.address;
  standing_.who = info.who;
}

void Peers::begin_use(PeerStream& stream) {
  const std::lock_guard guard(lock_);
  in_use_.push_back(&stream);
  if (closed_) stream.ask_to_close();
}

void Peers::end_use(PeerStream& stream, bool was_eject, bool was_silent) {
  const std::lock_guard guard(lock_);
  in_use_.remove(&stream);
  if (was_silent && standing_.connections > 1) ++standing_.replaced;
  connection_ended(was_eject);
}

void Peers::connection_ended(bool was_eject) {
  ENSURE(standing_.connections > 0);
  if (--standing_.connections == 0) {
    standing_.away_since = Clock::now();
    end_waits(vacancies_);
  }
  if (was_eject) standing_.was_ejected = true;
  tell();
}

void Peers::end_waits(std::list<Wait*>& waits) {
  for (Wait* wait : std::exchange(waits, {})) wait->end();
}

void Peers::tell() {
  if (watch_ != nullptr) watch_->peers_changed();
}

}  // namespace nbdring
