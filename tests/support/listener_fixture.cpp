#include "tests/support/listener_fixture.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "client/runtime/sync.hpp"

namespace nbdring {

class ListenerTest::Job final : public Message {
 public:
  explicit Job(std::function<void()> what) : what_(std::move(what)) {}
  void deliver() noexcept override {
    const std::unique_ptr<Job> self(this);
    what_();
  }

 private:
  std::function<void()> what_;
};

ListenerTest::ListenerTest() {
  options_.head_time = std::chrono::milliseconds(5'000);
  options_.grant_time = std::chrono::milliseconds(5'000);
}

ListenerTest::~ListenerTest() { stop(); }

void ListenerTest::stop() {
  if (!thread_.joinable()) return;
  host_.peers->close(1001, "the gateway goes");
  post([this] { listener_->stop(); });
  thread_.join();
}

void ListenerTest::start() {
  std::promise<void> started;
  auto start = started.get_future();
  thread_ = std::thread([this, owned = std::move(started)]() mutable { run(std::move(owned)); });
  start.get();
}

namespace {

// A listener that is never connected to: what stop() ends.
Task<void> serve(Loop&, GatewayListener& listener, int socket) {
  co_await listener.accept_on(socket);
  co_await listener.last_connection_gone();
}

}  // namespace

void ListenerTest::run(std::promise<void> started) {
  Loop loop;
  GatewayListener listener(loop, options_, authenticator_, sessions_, host_, log_.log());
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;  // no name: the kernel gives it an abstract one
  ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(sa_family_t));
  ::listen(socket.get(), 16);
  loop_ = &loop;
  listener_ = &listener;
  started.set_value();
  loop.run(serve(loop, listener, socket.get()));
}

void ListenerTest::post(std::function<void()> what) { loop_->post(*new Job(std::move(what))); }

FileDescriptor ListenerTest::connect() {
  SocketPair pair;
  const int fd = pair.near.release();
  post([this, fd] { listener_->serve_connected(FileDescriptor(fd)); });
  return std::move(pair.far);
}

std::string ListenerTest::receive_all(int socket) {
  std::string text;
  const auto until = Clock::now() + std::chrono::seconds(10);
  while (Clock::now() < until) {
    pollfd set{socket, POLLIN, 0};
    if (::poll(&set, 1, 1000) <= 0) continue;
    std::array<char, 4096> bytes;
    const ssize_t count = ::recv(socket, bytes.data(), bytes.size(), 0);
    if (count <= 0) return text;
    text.append(bytes.data(), static_cast<std::size_t>(count));
  }
  ADD_FAILURE() << "the connection did not end";
  return text;
}

HttpReply ListenerTest::reply_of(const std::string& text) {
  HttpReply reply;
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos) return reply;
  reply.head = text.substr(0, end + 2);
  std::transform(reply.head.begin(), reply.head.end(), reply.head.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  reply.body = text.substr(end + 4);
  reply.status = static_cast<unsigned>(std::stoul(text.substr(9, 3)));
  return reply;
}

HttpReply ListenerTest::ask(std::string_view bytes) {
  const FileDescriptor client = connect();
  ::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  return reply_of(receive_all(client.get()));
}

std::string ListenerTest::upgrade(const std::string& path, const std::string& headers) {
  return "GET " + path +
         " HTTP/1.1\r\nHost: nas\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
         headers + "\r\n";
}

void ListenerTest::grant(const std::string& token) {
  authenticator_.answer = [this, token](const Presented& presented) -> Verdict {
    if (presented.token != token) return Denied{};
    Grant granted;
    granted.configuration = presented.configuration;
    granted.who = "alice";
    granted.next_token = "next:secret";
    sessions_.begin(granted);
    return granted;
  };
}

}  // namespace nbdring
