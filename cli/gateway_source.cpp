#include "cli/gateway_source.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

#include "backends/websocket/peer_endpoint.hpp"
#include "client/runtime/error.hpp"
#include "client/transport/pipe_stream.hpp"

namespace nbdring {
namespace {

constexpr std::size_t close_reason_max = 123;  // bytes, RFC 6455

std::string bounded(const std::string& reason) { return reason.substr(0, close_reason_max); }

class PeerSource final : public SessionSource {
 public:
  explicit PeerSource(std::shared_ptr<Peers> peers) : peers_(std::move(peers)) {}

  std::unique_ptr<Endpoint> endpoint() override {
    return std::make_unique<PeerEndpoint>(peers_, peers_->options().name);
  }
  PeersStanding standing() const override { return peers_->standing(); }
  void set_watch(Peers::Watch* watch) override { peers_->set_watch(watch); }
  void set_single() override { peers_->set_single(); }
  void set_farewell(const Farewell& farewell) override {
    peers_->set_close(farewell.code, bounded(farewell.reason));
  }
  void close(const Farewell& farewell) override {
    peers_->close(farewell.code, bounded(farewell.reason));
  }

 private:
  const std::shared_ptr<Peers> peers_;
};

/// What the source and the stream, which outlive each other in any order, know together.
class PipeState {
 public:
  PipeState() {
    standing_.has_come = true;
    standing_.connections = 1;
    standing_.here_since = Clock::now();
    standing_.address = "standard input";
  }

  PeersStanding standing() const {
    const std::lock_guard lock(lock_);
    return standing_;
  }
  void set_watch(Peers::Watch* watch) {
    const std::lock_guard lock(lock_);
    watch_ = watch;
  }
  void ended() {
    const std::lock_guard lock(lock_);
    standing_.was_ejected = true;
    standing_.connections = 0;
    if (!standing_.away_since) standing_.away_since = Clock::now();
    if (watch_ != nullptr) watch_->peers_changed();
  }

 private:
  mutable std::mutex lock_;
  PeersStanding standing_;
  Peers::Watch* watch_ = nullptr;
};

class PipeEndpoint final : public Endpoint {
 public:
  PipeEndpoint(FileDescriptor input, FileDescriptor output, std::shared_ptr<PipeState> state)
      : input_(std::move(input)), output_(std::move(output)), state_(std::move(state)) {}

  Task<std::unique_ptr<Stream>> connect(Loop& loop, Clock::time_point) override {
    if (!input_.is_open()) {
      state_->ended();
      throw Failure(FailureKind::unreachable, text_ + " can be used once, and has ended");
    }
    std::unique_ptr<Stream> stream = std::make_unique<PipeStream>(
        loop, std::move(input_), std::move(output_), [state = state_] { state->ended(); });
    co_return std::move(stream);
  }
  bool reaches_one_server() const override { return false; }
  bool is_private() const override { return true; }
  const std::string& text() const override { return text_; }

 private:
  FileDescriptor input_;
  FileDescriptor output_;
  const std::shared_ptr<PipeState> state_;
  const std::string text_ = "the peer at standard input and output";
};

class PipeSource final : public SessionSource {
 public:
  PipeSource(FileDescriptor input, FileDescriptor output)
      : input_(std::move(input)), output_(std::move(output)) {}

  std::unique_ptr<Endpoint> endpoint() override {
    return std::make_unique<PipeEndpoint>(std::move(input_), std::move(output_), state_);
  }
  PeersStanding standing() const override { return state_->standing(); }
  void set_watch(Peers::Watch* watch) override { state_->set_watch(watch); }
  // A pipe ends, and says nothing.
  void set_single() override {}
  void set_farewell(const Farewell&) override {}
  void close(const Farewell&) override {}

 private:
  FileDescriptor input_;
  FileDescriptor output_;
  const std::shared_ptr<PipeState> state_ = std::make_shared<PipeState>();
};

}  // namespace

std::unique_ptr<SessionSource> make_peer_source(std::shared_ptr<Peers> peers) {
  return std::make_unique<PeerSource>(std::move(peers));
}

std::unique_ptr<SessionSource> make_pipe_source(FileDescriptor input, FileDescriptor output) {
  return std::make_unique<PipeSource>(std::move(input), std::move(output));
}

}  // namespace nbdring
