#include "tests/support/websocket_page.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <functional>
#include <utility>

#include "client/engine/lane.hpp"
#include "client/protocol/handshake_server.hpp"
#include "client/transport/send_all.hpp"
#include "client/transport/socket.hpp"
#include "tests/support/fixtures.hpp"

namespace nbdring {

/// Runs once on the loop's thread.
class ListenerThread::Job final : public Message {
 public:
  explicit Job(std::function<void()> what) : what_(std::move(what)) {}
  void deliver() noexcept override {
    const std::unique_ptr<Job> self(this);
    what_();
  }

 private:
  std::function<void()> what_;
};

namespace {

Task<void> offer_on(Loop& loop, std::shared_ptr<Peers> peers,
                    std::unique_ptr<WebsocketStream> stream, PeerInfo info) {
  co_await peers->offer(loop, std::move(stream), std::move(info));
}

Task<void> ask_room(Loop& loop, std::shared_ptr<Peers> peers,
                    std::shared_ptr<std::promise<bool>> answer) {
  const bool has_room = co_await peers->makes_room(loop);
  answer->set_value(has_room);
}

}  // namespace

ListenerThread::ListenerThread() {
  std::promise<Loop*> started;
  auto start = started.get_future();
  thread_ = std::thread([this, owned = std::move(started)]() mutable { run(std::move(owned)); });
  loop_ = start.get();
}

ListenerThread::~ListenerThread() {
  loop_->post(*new Job([this] { over_.raise(); }));
  thread_.join();
}

void ListenerThread::run(std::promise<Loop*> started) {
  Loop loop;
  Scope tasks(loop.frames());
  tasks_ = &tasks;
  started.set_value(&loop);
  loop.run(wait_until_over(loop, tasks));
}

Task<void> ListenerThread::wait_until_over(Loop&, Scope& tasks) {
  co_await over_.wait();
  co_await tasks.join();
}

void ListenerThread::offer(std::shared_ptr<Peers> peers, FileDescriptor socket, PeerInfo info) {
  info.socket = socket.get();
  const int fd = socket.release();
  loop_->post(*new Job([this, peers = std::move(peers), fd, info = std::move(info)] {
    auto lower = std::make_unique<SocketStream>(*loop_, FileDescriptor(fd));
    auto stream =
        std::make_unique<WebsocketStream>(*loop_, std::move(lower), WebsocketRole::server);
    tasks_->spawn(offer_on(*loop_, peers, std::move(stream), info));
  }));
}

std::future<bool> ListenerThread::asks_for_room(std::shared_ptr<Peers> peers) {
  const auto answer = std::make_shared<std::promise<bool>>();
  loop_->post(*new Job([this, peers = std::move(peers), answer] {
    tasks_->spawn(ask_room(*loop_, peers, answer));
  }));
  return answer->get_future();
}

/// A websocket of the page: a server's end with a loop of its own.
class TestPage::Connection {
 public:
  void serve(FileDescriptor socket, Backend& backend);
  void close(std::uint16_t code);
  void block_until(std::shared_future<void> thawed);
  std::uint16_t heard_code() const { return heard_; }

  std::thread thread;

 private:
  class Order final : public Message {
   public:
    explicit Order(std::function<void()> what) : what_(std::move(what)) {}
    void deliver() noexcept override { what_(); }

   private:
    std::function<void()> what_;
  };

  Task<void> converse(Loop& loop, WebsocketStream& stream, Backend& backend);
  Task<bool> shake_hands(Loop& loop, WebsocketStream& stream, ServerHandshake& handshake);
  void order(std::function<void()> what);

  std::mutex lock_;  // guards the three below
  Loop* loop_ = nullptr;
  WebsocketStream* stream_ = nullptr;
  std::vector<std::unique_ptr<Order>> orders_;
  int socket_ = -1;
  std::atomic<std::uint16_t> heard_{0};
};

void TestPage::Connection::serve(FileDescriptor socket, Backend& backend) {
  Loop loop;
  {
    const int fd = socket.get();
    WebsocketStream stream(loop, std::make_unique<SocketStream>(loop, std::move(socket)),
                           WebsocketRole::client);
    {
      const std::lock_guard guard(lock_);
      loop_ = &loop;
      stream_ = &stream;
      socket_ = fd;
    }
    loop.run(converse(loop, stream, backend));
    const std::lock_guard guard(lock_);
    for (const auto& one : orders_) loop.withdraw(*one);
    orders_.clear();
    loop_ = nullptr;
    heard_ = stream.ending() ? stream.ending()->code : 0;
  }
}

Task<void> TestPage::Connection::converse(Loop& loop, WebsocketStream& stream, Backend& backend) {
  ServerHandshake handshake(backend.about(), {}, TlsPolicy::off);
  const bool agreed = co_await shake_hands(loop, stream, handshake);
  if (agreed) {
    const auto lane_backend = backend.open_lane(loop);
    LaneOptions options = small_lane();
    LaneStats stats;
    Lane lane(loop, stream, *lane_backend, backend.about(), handshake.transmission(), options,
              stats);
    co_await lane.run();
    const Status closed = co_await lane_backend->close();
    static_cast<void>(closed);
  }
  // The gateway has taken its leave and waits for this; its answer says why.
  if (!stream.ending()) {
    co_await stream.close(Clock::now() + std::chrono::seconds(1));
  }
}

Task<bool> TestPage::Connection::shake_hands(Loop& loop, WebsocketStream& stream,
                                             ServerHandshake& handshake) {
  const auto greeting = handshake.greeting();
  bool alive = co_await send_all(loop, stream, greeting);
  std::array<std::byte, 4096> bytes;
  while (alive) {
    std::array<iovec, 1> buffer{iovec{bytes.data(), std::min(handshake.wanted(), bytes.size())}};
    const ssize_t received = stream.receive(buffer);
    if (received == -EAGAIN) {
      co_await stream.readable();
      continue;
    }
    if (received <= 0) break;
    const auto step = handshake.feed(std::span(bytes).first(static_cast<std::size_t>(received)));
    alive = co_await send_all(loop, stream, step.output);
    if (step.state == ServerHandshake::State::transmission) co_return alive;
    if (step.state != ServerHandshake::State::more) break;
  }
  co_return false;
}

void TestPage::Connection::order(std::function<void()> what) {
  orders_.push_back(std::make_unique<Order>(std::move(what)));
  loop_->post(*orders_.back());
}

void TestPage::Connection::close(std::uint16_t code) {
  const std::lock_guard guard(lock_);
  if (loop_ == nullptr) return;
  if (code == 0) {
    ::shutdown(socket_, SHUT_RDWR);
    return;
  }
  order([this, code] {
    stream_->set_close(code, "");
    stream_->say_close();
  });
}

void TestPage::Connection::block_until(std::shared_future<void> thawed) {
  const std::lock_guard guard(lock_);
  if (loop_ != nullptr) order([thawed = std::move(thawed)] { thawed.wait(); });
}

TestPage::TestPage(ListenerThread& listener, std::shared_ptr<Peers> peers, Backend& backend,
                   PeerInfo info)
    : listener_(listener), peers_(std::move(peers)), backend_(backend), info_(std::move(info)) {
  for (unsigned i = 0; i < info_.connections; ++i) {
    connections_.push_back(std::make_unique<Connection>());
    Connection& connection = *connections_.back();
    connection.thread = std::thread([this, &connection] { keep_open(connection); });
  }
}

TestPage::~TestPage() {
  if (is_silent_) thaw_.set_value();
  leave(0);
  for (const auto& connection : connections_) connection->thread.join();
}

void TestPage::keep_open(Connection& connection) {
  while (!is_leaving_) {
    SocketPair sockets;
    ++opened_;
    listener_.offer(peers_, std::move(sockets.near), info_);
    connection.serve(std::move(sockets.far), backend_);
    {
      const std::lock_guard guard(heard_lock_);
      heard_.insert(connection.heard_code());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

bool TestPage::has_heard(std::uint16_t code) const {
  const std::lock_guard guard(heard_lock_);
  return heard_.contains(code);
}

void TestPage::leave(std::uint16_t code) {
  is_leaving_ = true;
  for (const auto& connection : connections_) connection->close(code);
}

void TestPage::fall_silent() {
  is_silent_ = true;
  is_leaving_ = true;
  for (const auto& connection : connections_) connection->block_until(thawed_);
}

}  // namespace nbdring
