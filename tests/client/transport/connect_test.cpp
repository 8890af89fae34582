#include "client/transport/connect.hpp"

#include <gtest/gtest.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cerrno>
#include <filesystem>
#include <thread>
#include <vector>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

Task<void> connect(Loop& loop, const SocketAddress& address, milliseconds time,
                   FileDescriptor& socket, int& error) {
  error = co_await connect_to(loop, socket, address, Clock::now() + time);
}

struct Outcome {
  FileDescriptor socket;
  int error = -1;
  Clock::duration took{};
};

Outcome connect(const SocketAddress& address, milliseconds time = milliseconds(5000)) {
  Loop loop;
  Outcome outcome;
  const auto begin = Clock::now();
  loop.run(connect(loop, address, time, outcome.socket, outcome.error));
  outcome.took = Clock::now() - begin;
  return outcome;
}

FileDescriptor listen_at(SocketAddress& address, int backlog = 8) {
  FileDescriptor listener(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto* raw = reinterpret_cast<sockaddr*>(&address.storage);
  EXPECT_EQ(::bind(listener.get(), raw, address.length), 0);
  EXPECT_EQ(::listen(listener.get(), backlog), 0);
  EXPECT_EQ(::getsockname(listener.get(), raw, &address.length), 0);
  return listener;
}

SocketAddress loopback() {
  SocketAddress address;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.length = sizeof v4;
  return address;
}

std::string temporary_path(const char* name) {
  return (std::filesystem::temp_directory_path() / (name + std::to_string(::getpid()))).string();
}

std::string abstract(const char* name) {
  return std::string(1, '\0') + name + std::to_string(::getpid());
}

TEST(Connect, ReachesAPathAnAbstractNameAndTcp) {
  const std::string path = temporary_path("nbdring-connect.");
  for (SocketAddress address : {SocketAddress::of_unix(path),
                                SocketAddress::of_unix(abstract("nbdring-connect.")), loopback()}) {
    const FileDescriptor listener = listen_at(address);
    const Outcome outcome = connect(address);
    EXPECT_EQ(outcome.error, 0);
    ASSERT_TRUE(outcome.socket.is_open());
    EXPECT_TRUE(FileDescriptor(::accept(listener.get(), nullptr, nullptr)).is_open());
  }
  std::filesystem::remove(path);
}

TEST(Connect, SaysWhyNot) {
  EXPECT_EQ(connect(SocketAddress::of_unix("/nbdring-no-such-socket")).error, ENOENT);
  EXPECT_EQ(connect(SocketAddress::of_unix(abstract("nbdring-nobody."))).error, ECONNREFUSED);
  SocketAddress address = loopback();
  listen_at(address).reset();  // its port is free again
  const Outcome refused = connect(address);
  EXPECT_EQ(refused.error, ECONNREFUSED);
  EXPECT_FALSE(refused.socket.is_open());
}

// Nobody accepts, and no more fit into the queue: Linux lets the next ones wait without a word.
TEST(Connect, EndsAtTheDeadlineWhereTheQueueIsFull) {
  SocketAddress tcp = loopback();
  SocketAddress local = SocketAddress::of_unix(abstract("nbdring-full."));
  for (SocketAddress* address : {&tcp, &local}) {
    const FileDescriptor listener = listen_at(*address, 0);
    std::vector<FileDescriptor> waiting;
    Outcome outcome;
    for (int i = 0; i < 8 && outcome.error != ETIMEDOUT; ++i) {
      outcome = connect(*address, milliseconds(200));
      waiting.push_back(std::move(outcome.socket));
    }
    EXPECT_EQ(outcome.error, ETIMEDOUT);
    EXPECT_GE(outcome.took, milliseconds(200));
    EXPECT_LT(outcome.took, milliseconds(2000));
  }
}

TEST(Connect, GoesOnWhenThereIsRoomAgain) {
  SocketAddress address = SocketAddress::of_unix(abstract("nbdring-room."));
  const FileDescriptor listener = listen_at(address, 0);
  const Outcome first = connect(address);
  ASSERT_EQ(first.error, 0);
  std::thread later([&listener] {
    std::this_thread::sleep_for(milliseconds(100));
    FileDescriptor(::accept(listener.get(), nullptr, nullptr)).reset();
  });
  const Outcome second = connect(address, milliseconds(10'000));
  later.join();
  EXPECT_EQ(second.error, 0);
  EXPECT_GE(second.took, milliseconds(50));
}

TEST(Connect, EndsWhenCancelled) {
  SocketAddress address = loopback();
  const FileDescriptor listener = listen_at(address, 0);
  std::vector<Outcome> waiting;
  for (int i = 0; i < 4; ++i) waiting.push_back(connect(address, milliseconds(50)));
  ASSERT_EQ(waiting.back().error, ETIMEDOUT);

  struct Cancel final : Timer {
    Cancel(Loop& l, FileDescriptor& s)
        : Timer(l, Clock::now() + milliseconds(50)), loop(l), socket(s) {}
    void expired() override { loop.cancel(socket.get()); }
    Loop& loop;
    FileDescriptor& socket;
  };
  Loop loop;
  FileDescriptor socket;
  int error = 0;
  const Cancel cancel(loop, socket);
  loop.run(connect(loop, address, milliseconds(60'000), socket, error));
  EXPECT_NE(error, 0);
}

TEST(Connect, VsockAnswersOrSaysWhyNot) {
  // Port 1 of this machine: nobody listens, or there is no vsock here.
  const Outcome outcome = connect(SocketAddress::of_vsock(VMADDR_CID_LOCAL, 1), milliseconds(3000));
  EXPECT_NE(outcome.error, 0);
  EXPECT_LT(outcome.took, milliseconds(3500));
}

TEST(SocketAddress, RefusesALongPath) {
  EXPECT_EQ(SocketAddress::of_unix(std::string(107, 'x')).length, sizeof(sockaddr_un));
  EXPECT_THROW(SocketAddress::of_unix(std::string(108, 'x')), Failure);
  EXPECT_EQ(SocketAddress::of_unix(std::string(1, '\0') + std::string(107, 'x')).length,
            sizeof(sockaddr_un));
  EXPECT_THROW(SocketAddress::of_unix(std::string(1, '\0') + std::string(108, 'x')), Failure);
}

}  // namespace
}  // namespace nbdring
