#include "cli/gateway_host.hpp"

#include <malloc.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using Json = nlohmann::json;

constexpr unsigned conflict = 409;
constexpr unsigned no_such = 404;
constexpr unsigned internal = 500;
constexpr unsigned unavailable = 503;
constexpr std::chrono::milliseconds away_time_max{60'000};

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

std::string description_of(const Json& metadata) {
  if (!metadata.is_object()) return "";
  const auto found = metadata.find("description");
  return found != metadata.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

GatewayHost::GatewayHost(Loop& loop, const GatewaySettings& settings, LiveSessions& live, Log& log)
    : loop_(loop),
      settings_(settings),
      live_(live),
      log_(log),
      ended_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!ended_.is_open()) fail_errno(FailureKind::failed, "cannot create an eventfd");
  for (const GatewayConfiguration& one : settings.configurations) {
    places_[one.name].configuration = &one;
  }
}

GatewayHost::~GatewayHost() { stop(); }

std::optional<std::string> GatewayHost::configuration_at(const std::string& path) const {
  for (const GatewayConfiguration& one : settings_.configurations) {
    if (std::find(one.paths.begin(), one.paths.end(), path) != one.paths.end()) return one.name;
  }
  return std::nullopt;
}

GatewayHost::Place* GatewayHost::place_of(const std::string& configuration) {
  const auto* found = find_configuration(settings_.configurations, configuration);
  return found != nullptr ? &places_.at(found->name) : nullptr;
}

std::optional<HttpError> GatewayHost::objection(const Place& place, const Grant& grant) const {
  if (stopping_) return HttpError{unavailable, "the gateway ends"};
  if (!place.is_live || place.key == grant.session_key) return std::nullopt;
  if (place.session->is_abandoned()) return std::nullopt;
  return HttpError{conflict, "another peer has this configuration's session"};
}

std::variant<nlohmann::json, HttpError> GatewayHost::describe(const Grant& grant) {
  const Place* const place = place_of(grant.configuration);
  if (place == nullptr) return HttpError{no_such, "there is no such configuration"};
  if (auto error = objection(*place, grant)) return std::move(*error);
  const GatewayConfiguration& one = *place->configuration;
  const Json metadata = Json::parse(one.metadata, nullptr, false);
  Json json;
  json["configuration"] = one.name;
  json["path"] = one.paths.front();
  json["read_only"] = one.read_only || grant.read_only;
  json["connections"] = lanes_of(one);
  json["size_min"] = one.size_min;
  json["size_max"] = one.size_max ? Json(*one.size_max) : Json();
  json["description"] = description_of(metadata);
  json["metadata"] = metadata.is_discarded() ? Json() : metadata;
  return json;
}

std::optional<nlohmann::json> GatewayHost::session_state(const std::string& key) {
  for (const auto& [name, place] : places_) {
    if (place.key != key || key.empty()) continue;
    const SessionState state = place.session ? place.session->state() : place.last;
    Json json;
    json["state"] = state.phase;
    json["device"] = text_or_null(state.device);
    json["socket"] = text_or_null(state.socket);
    json["size"] = state.size;
    json["error"] = text_or_null(state.error);
    json["connections"] = place.peers->standing().connections;
    return json;
  }
  return std::nullopt;
}

std::variant<std::shared_ptr<Peers>, HttpError> GatewayHost::admit(const Grant& grant,
                                                                   const PeerInfo&) {
  Place* const place = place_of(grant.configuration);
  if (place == nullptr) return HttpError{no_such, "there is no such configuration"};
  if (auto error = objection(*place, grant)) return std::move(*error);
  const bool is_its_own = place->is_live && place->key == grant.session_key;
  if (is_its_own) return place->peers;
  try {
    begin(*place, grant);
  } catch (const std::exception& error) {  // out of descriptors, or of threads
    place->is_live = false;
    log_.error(std::string("cannot start a session: ") + error.what(),
               {{"configuration", place->configuration->name}});
    return HttpError{internal, "the gateway cannot start a session: see its log"};
  }
  return place->peers;
}

void GatewayHost::begin(Place& place, const Grant& grant) {
  std::shared_ptr<GatewaySession> former = std::move(place.session);
  if (former) {
    former->end(GatewaySession::End::replaced);
    leaving_.push_back(former);
  }
  const GatewayConfiguration& one = *place.configuration;
  PeersOptions options;
  options.name = "the peer of configuration '" + one.name + "'";
  options.away_time = std::min<std::chrono::milliseconds>(one.grace, away_time_max);
  place.peers = Peers::make(options);
  place.key = grant.session_key;
  place.last = SessionState();
  place.is_live = true;
  SessionSettings session;
  session.configuration = one;
  session.read_only = grant.read_only;
  session.hooks.folders = {settings_.state_dir};
  session.hook_timeout = settings_.hook_timeout;
  const auto tell = [fd = ended_.get()] {
    constexpr std::uint64_t one_more = 1;
    [[maybe_unused]] const ssize_t written = ::write(fd, &one_more, sizeof one_more);
  };
  place.session = std::make_shared<GatewaySession>(
      std::move(session), make_peer_source(place.peers), std::move(former), tell, log_);
}

bool GatewayHost::reap_ended() {
  std::erase_if(leaving_, [](const auto& session) { return session->state().has_ended; });
  bool is_any_left = !leaving_.empty();
  bool has_freed = false;
  for (auto& [name, place] : places_) {
    if (!place.session) continue;
    place.last = place.session->state();
    if (!place.last.has_ended) {
      is_any_left = true;
      continue;
    }
    place.session.reset();  // joins: its thread has nothing left to do
    place.is_live = false;
    live_.end_all(name);
    has_freed = true;
  }
  // Each session had a thread and megabytes of buffers, which the allocator would keep for a next
  // one: tens of megabytes after some hundred sessions, on machines that have few.
  if (has_freed) ::malloc_trim(0);
  return !is_any_left;
}

Task<void> GatewayHost::reap() {
  while (true) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t bytes = ::read(ended_.get(), &count, sizeof count);
    const bool is_none_left = reap_ended();
    if (stopping_ && is_none_left) break;
    co_await loop_.readable(ended_.get());
  }
}

void GatewayHost::stop() noexcept {
  stopping_ = true;
  for (auto& [name, place] : places_) {
    if (place.session) place.session->end(GatewaySession::End::gateway_ends);
  }
  constexpr std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(ended_.get(), &one, sizeof one);
}

}  // namespace nbdring
