#include "backends/websocket/live_sessions.hpp"

#include <algorithm>
#include <utility>

#include "client/runtime/error.hpp"
#include "client/transport/tls_seal.hpp"

namespace nbdring {

LiveSessions::LiveSessions(Options options, Log& log) : options_(std::move(options)), log_(log) {}

LiveSessions::Dropped LiveSessions::drop_stale() {
  const auto now = options_.now();
  return drop_if(
      [now](const Session& session) { return session.connections == 0 && session.ends <= now; });
}

LiveSessions::Session* LiveSessions::find_locked(std::string_view key) {
  for (Session& session : sessions_) {
    if (is_same_secret(session.key, key)) return &session;
  }
  return nullptr;
}

void LiveSessions::begin(Grant& grant) {
  Session session;
  session.key = encode_base64url(Secret::random().bytes());
  grant.session_key = session.key;
  session.renewal = std::exchange(grant.renewal, nullptr);
  session.grant = grant;
  session.grant.next_token.clear();
  session.ends = options_.now() + options_.arrival;
  Dropped dropped;
  const std::lock_guard lock(sessions_lock_);
  dropped = drop_stale();
  if (sessions_.size() >= options_.sessions_max) dropped.push_back(make_room());
  sessions_.push_back(std::move(session));
}

std::shared_ptr<Renewal> LiveSessions::make_room() {
  const auto oldest = std::find_if(sessions_.begin(), sessions_.end(),
                                   [](const Session& session) { return session.connections == 0; });
  if (oldest == sessions_.end()) {
    throw Failure(FailureKind::busy, "there are " + std::to_string(options_.sessions_max) +
                                         " sessions, all of them connected; no more are taken");
  }
  auto renewal = std::move(oldest->renewal);
  sessions_.erase(oldest);
  return renewal;
}

std::optional<Grant> LiveSessions::find(std::string_view key) {
  confirm(key);
  const std::lock_guard lock(sessions_lock_);
  const Session* session = find_locked(key);
  return session != nullptr ? std::optional(session->grant) : std::nullopt;
}

bool LiveSessions::is_live(std::string_view key) {
  Dropped dropped;
  const std::lock_guard lock(sessions_lock_);
  dropped = drop_stale();
  return find_locked(key) != nullptr;
}

bool LiveSessions::attach(std::string_view key) {
  Dropped dropped;
  const std::lock_guard lock(sessions_lock_);
  dropped = drop_stale();
  Session* const session = find_locked(key);
  if (session == nullptr) return false;
  ++session->connections;
  session->was_attached = true;
  return true;
}

void LiveSessions::detach(std::string_view key) {
  const std::lock_guard lock(sessions_lock_);
  Session* const session = find_locked(key);
  if (session == nullptr) return;  // ended meanwhile
  ENSURE(session->connections > 0);
  if (--session->connections == 0) session->ends = options_.now() + options_.grace;
}

void LiveSessions::confirm(std::string_view key) {
  Dropped dropped;
  std::shared_ptr<Renewal> renewal;
  {
    const std::lock_guard lock(sessions_lock_);
    dropped = drop_stale();
    if (const Session* session = find_locked(key)) renewal = session->renewal;
  }
  if (!renewal) return;
  try {
    renewal->settle();
  } catch (const Failure& failure) {
    log_.warning(std::string("a used token is not yet forgotten: ") + failure.what());
    return;
  }
  const std::lock_guard lock(sessions_lock_);
  if (Session* session = find_locked(key)) session->renewal = nullptr;
}

void LiveSessions::end(std::string_view key) {
  Dropped dropped;
  const std::lock_guard lock(sessions_lock_);
  dropped = drop_if([key](const Session& session) { return is_same_secret(session.key, key); });
}

void LiveSessions::end_all(const std::string& configuration) {
  Dropped dropped;
  const std::lock_guard lock(sessions_lock_);
  dropped = drop_if([&](const Session& session) {
    return session.was_attached && session.grant.configuration == configuration;
  });
}

std::size_t LiveSessions::count() {
  Dropped dropped;
  const std::lock_guard lock(sessions_lock_);
  dropped = drop_stale();
  return sessions_.size();
}

}  // namespace nbdring
