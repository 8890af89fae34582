#include "client/transport/connect_race.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

namespace nbdring {
namespace {

using std::chrono::milliseconds;

SocketAddress v4(std::uint32_t address, std::uint16_t port = 0) {
  SocketAddress result;
  auto& raw = reinterpret_cast<sockaddr_in&>(result.storage);
  raw.sin_family = AF_INET;
  raw.sin_port = htons(port);
  raw.sin_addr.s_addr = htonl(address);
  result.length = sizeof raw;
  return result;
}

SocketAddress v6(std::uint8_t last) {
  SocketAddress result;
  auto& raw = reinterpret_cast<sockaddr_in6&>(result.storage);
  raw.sin6_family = AF_INET6;
  raw.sin6_addr.s6_addr[15] = last;
  result.length = sizeof raw;
  return result;
}

FileDescriptor listen_at(SocketAddress& address, int backlog) {
  FileDescriptor listener(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto* raw = reinterpret_cast<sockaddr*>(&address.storage);
  if (::bind(listener.get(), raw, address.length) != 0) return {};
  EXPECT_EQ(::listen(listener.get(), backlog), 0);
  EXPECT_EQ(::getsockname(listener.get(), raw, &address.length), 0);
  return listener;
}

// An address that answers nothing: its queue is full, and what comes more waits.
struct BlackHole {
  BlackHole() : address(v4(INADDR_LOOPBACK)), listener(listen_at(address, 0)) {
    for (int i = 0; i < 4; ++i) {
      waiting.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      ::connect(waiting.back().get(), reinterpret_cast<sockaddr*>(&address.storage),
                address.length);
    }
  }
  SocketAddress address;
  FileDescriptor listener;
  std::vector<FileDescriptor> waiting;
};

SocketAddress refusing() {
  SocketAddress address = v4(INADDR_LOOPBACK);
  listen_at(address, 1).reset();
  return address;
}

struct Outcome {
  std::size_t winner = 0;
  std::vector<int> errors;
  bool is_connected = false;
  Clock::duration took{};
};

Task<void> run(ConnectRace& race, Clock::time_point deadline, std::size_t& winner) {
  winner = co_await race.run(deadline);
}

Outcome run(const std::vector<SocketAddress>& addresses, milliseconds time = milliseconds(5000)) {
  Loop loop;
  ConnectRace race(loop, addresses);
  Outcome outcome;
  const auto begin = Clock::now();
  loop.run(run(race, begin + time, outcome.winner));
  outcome.took = Clock::now() - begin;
  for (std::size_t i = 0; i < addresses.size(); ++i) outcome.errors.push_back(race.error(i));
  if (outcome.winner < addresses.size())
    outcome.is_connected = race.take_socket(outcome.winner).is_open();
  return outcome;
}

TEST(ConnectRace, FirstIsEnough) {
  SocketAddress good = v4(INADDR_LOOPBACK);
  const FileDescriptor listener = listen_at(good, 8);
  const Outcome outcome = run({good, refusing()});
  EXPECT_EQ(outcome.winner, 0u);
  EXPECT_TRUE(outcome.is_connected);
}

TEST(ConnectRace, NextAtOnceAfterARefusal) {
  SocketAddress good = v4(INADDR_LOOPBACK);
  const FileDescriptor listener = listen_at(good, 8);
  const Outcome outcome = run({refusing(), refusing(), good});
  EXPECT_EQ(outcome.winner, 2u);
  EXPECT_TRUE(outcome.is_connected);
  EXPECT_LT(outcome.took, milliseconds(240));
}

TEST(ConnectRace, NextAfterAWhileOfSilence) {
  const BlackHole hole;
  SocketAddress good = v4(INADDR_LOOPBACK);
  const FileDescriptor listener = listen_at(good, 8);
  const Outcome outcome = run({hole.address, hole.address, good});
  EXPECT_EQ(outcome.winner, 2u);
  EXPECT_TRUE(outcome.is_connected);
  EXPECT_GE(outcome.took, milliseconds(500));
  EXPECT_LT(outcome.took, milliseconds(2000));
}

TEST(ConnectRace, SlowOneMayStillWin) {
  BlackHole hole;
  std::vector<SocketAddress> addresses{hole.address, refusing()};
  std::atomic<bool> is_over{false};
  std::thread later([&hole, &is_over] {
    std::this_thread::sleep_for(milliseconds(400));
    pollfd set{hole.listener.get(), POLLIN, 0};
    while (!is_over) {
      if (::poll(&set, 1, 20) == 1)
        FileDescriptor(::accept(hole.listener.get(), nullptr, nullptr)).reset();
    }
  });
  const Outcome outcome = run(addresses, milliseconds(20'000));
  is_over = true;
  later.join();
  EXPECT_EQ(outcome.winner, 0u);
  EXPECT_EQ(outcome.errors[1], ECONNREFUSED);
}

TEST(ConnectRace, EveryAddressHasItsReason) {
  const BlackHole hole;
  const Outcome outcome = run({refusing(), hole.address, hole.address}, milliseconds(200));
  EXPECT_EQ(outcome.winner, 3u);
  EXPECT_EQ(outcome.errors, (std::vector<int>{ECONNREFUSED, ETIMEDOUT, 0}));
  EXPECT_LT(outcome.took, milliseconds(2000));
}

TEST(ConnectRace, FamiliesInTurn) {
  EXPECT_EQ(interleaved(std::vector{v6(1), v6(2), v6(3), v4(1), v4(2)}),
            (std::vector{v6(1), v4(1), v6(2), v4(2), v6(3)}));
  EXPECT_EQ(interleaved(std::vector{v4(1), v4(2), v6(1)}), (std::vector{v4(1), v6(1), v4(2)}));
  EXPECT_TRUE(interleaved({}).empty());
}

TEST(ConnectRace, BothFamilies) {
  SocketAddress six = v6(1);
  const FileDescriptor listener = listen_at(six, 8);
  if (!listener.is_open()) GTEST_SKIP() << "no IPv6 here";
  EXPECT_EQ(run({refusing(), six}).winner, 1u);
  EXPECT_EQ(run({six, refusing()}).winner, 0u);
}

}  // namespace
}  // namespace nbdring
