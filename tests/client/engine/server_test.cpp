#include "client/engine/server.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "backends/file.hpp"
#include "backends/memory.hpp"
#include "client/protocol/bytes.hpp"
#include "client/runtime/scope.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/gated_backend.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t size = 1024 * 1024;

// What one lane wrote and another reads goes through the kernel here: with the memory backend the
// order would hang on sockets, which the thread sanitizer cannot see.
struct SharedFile {
  TemporaryFile file{size};
  CapturedLog log;
  FileBackend backend{FileSpec{.path = file.path()}, log.log()};
};

// A server with its listener (an abstract Unix socket) and its loop, on a thread of its own.
class ServerFixture {
 public:
  ServerFixture(Backend& backend, const ServerOptions& options)
      : backend_(backend), options_(options) {
    std::promise<void> ready;
    thread_ = std::thread([this, &ready] { run(ready); });
    ready.get_future().get();
  }
  ~ServerFixture() {
    stop();
    thread_.join();
  }

  FileDescriptor connect() const {
    FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address_), length_), 0);
    return socket;
  }
  void stop() {
    if (!stopped_) loop_->post(stop_);
    stopped_ = true;
  }
  std::string log() const { return log_.text(); }

 private:
  class Stop final : public Message {
   public:
    void deliver() noexcept override { server->stop(); }
    Server* server = nullptr;
  };

  void run(std::promise<void>& ready) {
    FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address_.sun_family = AF_UNIX;
    ENSURE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address_),
                  sizeof(sa_family_t)) == 0);  // autobind
    ENSURE(::listen(listener.get(), 16) == 0);
    length_ = sizeof address_;
    ENSURE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address_), &length_) == 0);
    Loop loop;
    Server server(loop, backend_, options_, log_.log());
    loop_ = &loop;
    stop_.server = &server;
    ready.set_value();
    loop.run(serve(loop, server, listener.get()));
  }

  static Task<void> serve(Loop&, Server& server, int listener) {
    co_await server.accept_on(listener);
    co_await server.last_client_gone();
  }

  Backend& backend_;
  ServerOptions options_;
  CapturedLog log_;
  sockaddr_un address_{};
  socklen_t length_ = 0;
  Loop* loop_ = nullptr;
  Stop stop_;
  bool stopped_ = false;
  std::thread thread_;
};

ServerOptions options_for_tests() {
  ServerOptions options;
  options.lane = small_lane();
  options.lane.slots = 8;
  options.export_name = "disk";
  return options;
}

// The shortest handshake: client flags, then EXPORT_NAME. Leaves the client in transmission.
void shake_hands(BlockingClient& client, std::string_view name = "disk") {
  client.receive_raw(sizeof(nbd::Greeting));
  std::vector<std::byte> bytes;
  append_struct(bytes, Be32(nbd::flag_c_fixed_newstyle | nbd::flag_c_no_zeroes));
  append_struct(bytes, nbd::OptionHeader{nbd::ihaveopt, nbd::opt_export_name,
                                         static_cast<std::uint32_t>(name.size())});
  append_text(bytes, name);
  client.send_raw(bytes);
  const auto answer = client.receive_raw(sizeof(nbd::ExportNameReply));
  EXPECT_EQ(read_struct<nbd::ExportNameReply>(answer).size, size);
}

class ServerTest : public testing::Test {
 protected:
  MemoryBackend memory_{size};
};

TEST_F(ServerTest, ServesSeveralClientsAtOnce) {
  SharedFile file;
  ServerFixture server(file.backend, options_for_tests());
  std::vector<std::unique_ptr<BlockingClient>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<BlockingClient>(server.connect()));
    shake_hands(*clients.back());
  }
  for (std::uint64_t i = 0; i < clients.size(); ++i) {
    const auto data = pattern(i + 1, i * 512, 512);
    EXPECT_EQ(clients[i]->call(make_request(nbd::cmd_write, i * 512, 512), data).error, 0U);
  }
  for (std::uint64_t i = 0; i < clients.size(); ++i) {
    const auto reply = clients[7 - i]->call(make_request(nbd::cmd_read, i * 512, 512));
    EXPECT_TRUE(matches_pattern(reply.data, i + 1, i * 512)) << i;
  }
}

TEST_F(ServerTest, TakesRequestsThatComeWithTheLastOption) {
  fill_pattern(memory_.bytes(), 3, 0);
  ServerFixture server(memory_, options_for_tests());
  BlockingClient client(server.connect());
  std::vector<std::byte> bytes;
  append_struct(bytes, Be32(nbd::flag_c_fixed_newstyle | nbd::flag_c_no_zeroes));
  append_struct(bytes, nbd::OptionHeader{nbd::ihaveopt, nbd::opt_export_name, 0});
  client.send_raw(bytes);
  client.send(make_request(nbd::cmd_read, 0, 4096));
  client.receive_raw(sizeof(nbd::Greeting) + sizeof(nbd::ExportNameReply));
  EXPECT_TRUE(matches_pattern(client.reply().data, 3, 0));
}

TEST_F(ServerTest, RefusesOneClientTooManyAndTakesTheNextOneLater) {
  ServerOptions options = options_for_tests();
  options.clients_max = 2;
  ServerFixture server(memory_, options);
  auto first = std::make_unique<BlockingClient>(server.connect());
  BlockingClient second(server.connect());
  shake_hands(*first);
  shake_hands(second);
  BlockingClient third(server.connect());
  EXPECT_TRUE(third.reads_end());
  EXPECT_NE(server.log().find("too many"), std::string::npos) << server.log();
  first->close();
  EXPECT_TRUE(eventually([&server] {
    BlockingClient next(server.connect());
    return !next.reads_end();
  }));
  EXPECT_EQ(second.call(make_request(nbd::cmd_read, 0, 512)).error, 0U);
}

TEST_F(ServerTest, DropsAClientThatDoesNotFinishItsHandshake) {
  ServerOptions options = options_for_tests();
  options.handshake_deadline = milliseconds(50);
  ServerFixture server(memory_, options);
  BlockingClient other(server.connect());
  shake_hands(other);
  BlockingClient silent(server.connect());
  silent.receive_raw(sizeof(nbd::Greeting));
  EXPECT_TRUE(silent.reads_end());
  EXPECT_TRUE(eventually([&] { return server.log().find("within") != std::string::npos; }));
  std::this_thread::sleep_for(2 * options.handshake_deadline);
  EXPECT_EQ(other.call(make_request(nbd::cmd_read, 0, 512)).error, 0U)
      << "the deadline is over once the handshake is";
}

TEST_F(ServerTest, SaysOneLineAboutAClientThatBreaksTheProtocol) {
  ServerFixture server(memory_, options_for_tests());
  BlockingClient client(server.connect());
  client.receive_raw(sizeof(nbd::Greeting));
  client.send_raw(pattern(1, 0, 20));
  EXPECT_TRUE(client.reads_end());
  EXPECT_TRUE(eventually([&] { return !server.log().empty(); }));
  const std::string text = server.log();
  EXPECT_NE(text.find("client dropped"), std::string::npos) << text;
}

TEST_F(ServerTest, StopsWithClientsInEveryState) {
  auto server = std::make_unique<ServerFixture>(memory_, options_for_tests());
  BlockingClient fresh(server->connect());
  BlockingClient greeted(server->connect());
  greeted.receive_raw(sizeof(nbd::Greeting));
  BlockingClient serving(server->connect());
  shake_hands(serving);
  BlockingClient half(server->connect());
  shake_hands(half);
  half.send_raw(std::vector<std::byte>(3));
  server.reset();  // waits for the end
  EXPECT_TRUE(serving.reads_end());
}

TEST_F(ServerTest, FinishesWhatIsInFlightWhenItStops) {
  GatedBackend gated(memory_);
  auto server = std::make_unique<ServerFixture>(gated, options_for_tests());
  BlockingClient client(server->connect());
  shake_hands(client);
  const auto data = pattern(5, 0, 4096);
  client.send(make_request(nbd::cmd_write, 0, 4096), data);
  EXPECT_TRUE(eventually([&gated] { return gated.arrived() == 1; }));
  server->stop();
  gated.open_gate();
  server.reset();
  EXPECT_TRUE(matches_pattern(memory_.bytes().first(4096), 5, 0));
}

TEST_F(ServerTest, StopsWhileClientsKeepComing) {
  for (int round = 0; round < 20; ++round) {
    auto server = std::make_unique<ServerFixture>(memory_, options_for_tests());
    std::vector<FileDescriptor> sockets;
    for (int i = 0; i < 8; ++i) sockets.push_back(server->connect());
    server.reset();  // some are accepted, some are about to be; none is left behind
  }
}

// What one loop does in one turn when the next client and the order to stop come together.
class ConnectAndStop final : public Message {
 public:
  ConnectAndStop(Server& server, FileDescriptor socket)
      : server_(server), socket_(std::move(socket)) {}
  void deliver() noexcept override {
    server_.stop();
    server_.serve_connected(std::move(socket_));
  }

 private:
  Server& server_;
  FileDescriptor socket_;
};

Task<void> until_gone(Loop& loop, Server& server) {
  co_await loop.sleep(milliseconds(10));
  co_await server.last_client_gone();
}

TEST_F(ServerTest, TakesNoClientAfterItWasStopped) {
  CapturedLog log;
  Loop loop;
  Server server(loop, memory_, options_for_tests(), log.log());
  SocketPair pair;
  ConnectAndStop message(server, std::move(pair.near));
  loop.post(message);
  loop.run(until_gone(loop, server));
  BlockingClient client(std::move(pair.far));
  EXPECT_TRUE(client.reads_end());
}

}  // namespace
}  // namespace nbdring
