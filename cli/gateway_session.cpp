#include "cli/gateway_session.hpp"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <utility>

#include "backends/layers/layer.hpp"
#include "backends/layers/readonly.hpp"
#include "backends/nbd/backend.hpp"
#include "cli/gateway_dialer.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds look_again{1};  // at the peer
constexpr milliseconds hurried_hook{5'000};    // when the gateway ends
constexpr milliseconds to_end{5'000};          // what is neither a hook's time nor the driver's
constexpr unsigned returns_a_minute_max = 60;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string bytes_of(std::uint64_t bytes) { return std::to_string(bytes) + " bytes"; }

}  // namespace

GatewaySession::GatewaySession(SessionSettings settings, std::unique_ptr<SessionSource> source,
                               std::shared_ptr<GatewaySession> former, std::function<void()> ended,
                               Log& log)
    : settings_(std::move(settings)),
      source_(std::move(source)),
      former_(std::move(former)),
      ended_(std::move(ended)),
      log_(log),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_.is_open()) fail_errno(FailureKind::failed, "cannot create an eventfd");
  source_->set_watch(this);
  thread_ = std::thread([this] { run(); });
}

GatewaySession::~GatewaySession() {
  if (thread_.joinable()) thread_.join();  // not where a successor has done it
}

void GatewaySession::end(End why) noexcept {
  bool is_opening = false;
  {
    const std::lock_guard lock(lock_);
    if (why_) return;
    why_ = why;
    is_opening = state_.phase == "waiting";
  }
  is_asked_ = true;
  if (is_opening) source_->close(farewell());  // nothing else ends a wait for the peer
  wake();
}

SessionState GatewaySession::state() const {
  const std::lock_guard lock(lock_);
  return state_;
}

bool GatewaySession::is_abandoned() const {
  const PeersStanding standing = source_->standing();
  return standing.connections == 0 && !is_in_use_;
}

void GatewaySession::run() noexcept {
  ::pthread_setname_np(::pthread_self(), "nbdring-session");
  if (former_) former_->thread_.join();
  former_.reset();
  try {
    run_loop();
  } catch (const std::exception& error) {  // there can be no loop
    fail(error.what());
  }
  source_->close(farewell());
  source_->set_watch(nullptr);
  {
    const std::lock_guard lock(lock_);
    state_.phase = "ended";
    state_.has_ended = true;
  }
  if (const std::string why = words(); !why.empty()) {
    log_.info("session ended: " + why, {{"configuration", settings_.configuration.name}});
  }
  ended_();
}

void GatewaySession::run_loop() {
  // The objects that the loop's tasks use go before it.
  struct Clear {
    GatewaySession& session;
    ~Clear() {
      session.tick_.reset();
      session.hooks_.reset();
      session.front_.reset();
      session.backend_.reset();
    }
  };
  loop_ = std::make_unique<Loop>();
  {
    const Clear clear{*this};
    try {
      open();
      loop_->run(serve());
    } catch (const Failure& failure) {
      note_kind(failure.kind());
      fail(failure.what());
    } catch (const std::exception& error) {
      fail(error.what());
    }
    // Before the backend goes, whose connections say it.
    source_->set_farewell(farewell());
  }
  loop_.reset();
}

void GatewaySession::note_kind(FailureKind kind) noexcept {
  const std::lock_guard lock(lock_);
  state_.kind = kind;
}

void GatewaySession::open() {
  const GatewayConfiguration& configuration = settings_.configuration;
  const std::string text = "the peer of configuration '" + configuration.name + "'";
  RemoteOptions remote;
  remote.read_only = settings_.read_only || configuration.read_only;
  remote.lanes = lanes_of(configuration);
  remote.recovery_window = configuration.grace;
  remote.connection.request_deadline = configuration.timeout;
  remote.io_flusher = configuration.socket.empty();
  remote.endpoint = text;
  remote.jitter_seed = std::random_device()();
  for (const LayerSpec& layer : configuration.layers) remote.read_only |= layer.name == "cow";
  auto dialer = std::make_unique<SourceDialer>(*source_, text, log_);
  backend_ = std::make_unique<NbdBackend>(std::move(dialer), remote, log_);
  check_size();
  backend_ = add_layers(std::move(backend_), configuration.layers, log_);
  const bool wants_read_only = settings_.read_only || configuration.read_only;
  if (wants_read_only && !backend_->about().is_read_only()) {
    backend_ = read_only(std::move(backend_));
  }
  if (is_asked_) return;
  auto programs = find_hooks(settings_.hooks, ::geteuid());
  front_ = make_session_front(*loop_, *backend_, configuration, settings_.kind, *this, log_);
  hooks_ = std::make_unique<Hooks>(*loop_, std::move(programs), hook_settings(), log_);
  const std::lock_guard lock(lock_);
  (front_->is_device() ? state_.device : state_.socket) = front_->path();
  state_.size = front_->size();
  state_.phase = "starting";
}

void GatewaySession::check_size() const {
  const std::uint64_t size = backend_->about().size;
  const GatewayConfiguration& configuration = settings_.configuration;
  if (size < configuration.size_min) {
    throw Failure(FailureKind::refused, "the peer's disk has " + bytes_of(size) +
                                            ", fewer than the configuration's " +
                                            bytes_of(configuration.size_min));
  }
  if (configuration.size_max && size > *configuration.size_max) {
    throw Failure(FailureKind::refused, "the peer's disk has " + bytes_of(size) +
                                            ", more than the configuration's " +
                                            bytes_of(*configuration.size_max));
  }
}

Task<void> GatewaySession::serve() {
  if (!front_) co_return;
  log_.info("session started", {{"configuration", settings_.configuration.name},
                                {front_->is_device() ? "device" : "socket", front_->path()},
                                {"peer", standing().address}});
  Scope scope(frames());
  scope.spawn(watch());
  scope.spawn(serve_front());
  scope.spawn(start());
  co_await ending_.wait();
  hooks_->interrupt();
  co_await started_.wait();
  set_phase("ending");
  source_->set_farewell(farewell());
  // Who is gone answers nothing: what waits for it, and the stop hooks' reads, fail at once.
  if (standing().connections == 0) backend_->abandon();
  if (farewell().code == Farewell::going_away) hooks_->hurry(hurried_hook);
  co_await hooks_->stop();
  if (!is_over_) front_->end();
  is_over_ = true;
  wake();
  co_await scope.join();
}

Task<void> GatewaySession::serve_front() {
  co_await front_->run();
  is_over_ = true;
  end(End::detached);
}

Task<void> GatewaySession::start() {
  const std::string failure = co_await hooks_->start();
  if (!failure.empty() && !is_asked_) fail(failure);
  if (failure.empty()) set_phase("serving");
  started_.raise();
}

Task<void> GatewaySession::watch() {
  while (true) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t bytes = ::read(wake_.get(), &count, sizeof count);
    if (!is_asked_) look_at_peer();
    if (is_asked_ && !ending_.raised()) ending_.raise();
    if (is_over_ && ending_.raised()) break;
    co_await loop_->readable(wake_.get());
  }
  tick_.reset();
}

void GatewaySession::look_at_peer() {
  const PeersStanding standing = source_->standing();
  tick_.reset();
  if (standing.away_since || standing.was_ejected) {
    look_at_users(standing);
  } else {
    look_at_health();
  }
  if (comes_and_goes()) fail("the peer was lost too often within a minute");
  tick_ = std::make_unique<Tick>(*loop_, look_again, *this);
}

// A peer that is here and cannot be used would keep the session, and every request would fail.
void GatewaySession::look_at_health() {
  if (std::exchange(was_away_, false)) say("the peer is back");
  is_in_use_ = false;
  {
    const std::lock_guard lock(lock_);
    note_.clear();
  }
  const BackendHealth health = backend_->health();
  if (health.state == "failed") fail("the peer cannot be used: " + health.last_reason);
}

// So does one that comes back each time, and is lost again before it has answered.
bool GatewaySession::comes_and_goes() {
  const std::uint64_t reconnects = backend_->health().reconnects;
  const auto now = Clock::now();
  if (now - minute_ >= std::chrono::minutes(1)) {
    minute_ = now;
    reconnects_before_ = reconnects;
  }
  return reconnects - reconnects_before_ > returns_a_minute_max;
}

void GatewaySession::look_at_users(const PeersStanding& standing) {
  const auto users = front_->users();
  is_in_use_ = !users.empty();
  // At once, while a peer of several connections still serves what the end has to write out.
  if (standing.was_ejected && users.empty()) return end(End::ejected);
  const auto grace = settings_.configuration.grace;
  const auto& away_since = standing.away_since;
  if (away_since && Clock::now() >= *away_since + grace) return end(End::left);
  if (std::exchange(was_away_, true)) return;
  const std::string waits = "; I/O waits for it for " + duration_text(grace);
  const std::string use =
      users.empty() ? "" : " while " + front_->path() + " is in use (" + joined(users) + ")";
  say((standing.was_ejected ? "the peer has ejected its disk" : "the peer is away") + use + waits);
}

void GatewaySession::say(const std::string& note) {
  log_.warning(note, {{"configuration", settings_.configuration.name}});
  const std::lock_guard lock(lock_);
  note_ = note;
}

void GatewaySession::fail(const std::string& reason) noexcept {
  {
    const std::lock_guard lock(lock_);
    if (why_) return;  // it was to end: what was under way had to fail
    state_.error = reason;
  }
  log_.error(reason, {{"configuration", settings_.configuration.name}});
  end(End::failed);
}

HookSettings GatewaySession::hook_settings() const {
  HookSettings hook;
  hook.configuration = settings_.configuration.name;
  hook.timeout = settings_.hook_timeout;
  const PeersStanding peer = source_->standing();
  hook.environment = {
      "NBDRING_CONFIGURATION=" + settings_.configuration.name,
      (front_->is_device() ? "NBDRING_DEVICE=" : "NBDRING_SOCKET=") + front_->path(),
      "NBDRING_SIZE=" + std::to_string(front_->size()),
      "NBDRING_PEER=" + peer.address + (peer.who.empty() ? "" : " " + peer.who),
      std::string("NBDRING_READ_ONLY=") + (backend_->about().is_read_only() ? "1" : "0")};
  return hook;
}

void GatewaySession::set_phase(const std::string& phase) {
  const std::lock_guard lock(lock_);
  state_.phase = phase;
}

void GatewaySession::wake() noexcept {
  constexpr std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

Farewell GatewaySession::farewell() const {
  const std::lock_guard lock(lock_);
  switch (why_.value_or(End::detached)) {
    case End::gateway_ends:
      return {Farewell::going_away, "the gateway ends"};
    case End::failed:
      return {Farewell::failed, "failed: " + state_.error};
    case End::left:
      return {Farewell::detached, "detached: the peer was away for too long"};
    default:
      return {};
  }
}

std::string GatewaySession::words() const {
  const std::lock_guard lock(lock_);
  switch (why_.value_or(End::detached)) {
    case End::detached:
      return "detached";
    case End::ejected:
      return "ejected by the peer";
    case End::left:
      return "the peer was away for too long";
    case End::failed:
      break;  // it has been said
    case End::gateway_ends:
      return "the gateway ends";
    case End::replaced:
      return "another peer has taken its place";
  }
  return "";
}

milliseconds GatewaySession::detach_asked() {
  end(End::detached);
  return hooks_->stop_time() + 2 * disconnect_wait + to_end;
}

void GatewaySession::complete(DeviceStatus& status) const {
  const PeersStanding standing = source_->standing();
  const auto seconds = [](Clock::time_point since) {
    const auto passed = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - since);
    return static_cast<std::uint64_t>(std::max<std::int64_t>(passed.count(), 0));
  };
  PeerStatus& peer = status.peer;
  peer.configuration = settings_.configuration.name;
  peer.address = standing.address;
  peer.who = standing.who;
  peer.connections = standing.connections;
  peer.returns = standing.returns;
  const std::lock_guard lock(lock_);
  peer.state = standing.away_since && state_.phase == "serving" ? "away" : state_.phase;
  peer.note = standing.away_since ? note_ : "";
  (standing.away_since ? peer.away : peer.here) =
      seconds(standing.away_since.value_or(standing.here_since));
}

}  // namespace nbdring
