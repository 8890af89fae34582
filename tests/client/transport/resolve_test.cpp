#include "client/transport/resolve.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

namespace nbdring {
namespace {

using std::chrono::milliseconds;

Task<void> ask(Loop& loop, const std::string& host, milliseconds time, const Lookup& lookup,
               Resolution& answer) {
  answer = co_await resolve(loop, host, 10809, Clock::now() + time, lookup);
}

Resolution ask(const std::string& host, const Lookup& lookup, milliseconds time) {
  Loop loop;
  Resolution answer;
  loop.run(ask(loop, host, time, lookup, answer));
  return answer;
}

Resolution forbidden(const std::string& host, std::uint16_t) {
  ADD_FAILURE() << host << " needs no name service";
  return {};
}

TEST(Resolve, TakesAddressesAsTheyAre) {
  for (const char* text : {"192.0.2.1", "2001:db8::1", "::1", "127.0.0.1"}) {
    const Resolution answer = ask(text, forbidden, milliseconds(1000));
    ASSERT_EQ(answer.addresses.size(), 1u) << text;
    EXPECT_EQ(answer.addresses[0].text(), text);
  }
}

TEST(Resolve, AsksTheSystemForNames) {
  const Resolution answer = ask("localhost", look_up, milliseconds(10'000));
  ASSERT_FALSE(answer.addresses.empty()) << answer.problem;
  for (const SocketAddress& address : answer.addresses)
    EXPECT_TRUE(address.text() == "127.0.0.1" || address.text() == "::1") << address.text();
}

TEST(Resolve, SaysWhyThereIsNone) {
  const Lookup nothing = [](const std::string&, std::uint16_t) {
    return Resolution{{}, "Name or service not known"};
  };
  const Resolution answer = ask("nas", nothing, milliseconds(1000));
  EXPECT_TRUE(answer.addresses.empty());
  EXPECT_EQ(answer.problem, "Name or service not known");
}

// The thread answers when nobody waits any more, and the loop is gone.
TEST(Resolve, LeavesASlowNameServiceToItself) {
  const auto ended = std::make_shared<std::atomic<bool>>(false);
  const Lookup slow = [ended](const std::string&, std::uint16_t) {
    std::this_thread::sleep_for(milliseconds(300));
    *ended = true;
    return Resolution{{SocketAddress::of_vsock(2, 1)}, ""};
  };
  const auto begin = Clock::now();
  const Resolution answer = ask("nas", slow, milliseconds(50));
  EXPECT_LT(Clock::now() - begin, milliseconds(250));
  EXPECT_TRUE(answer.addresses.empty());
  EXPECT_EQ(answer.problem, "no answer from the name service in time");
  while (!*ended) std::this_thread::sleep_for(milliseconds(10));
  std::this_thread::sleep_for(milliseconds(20));
}

TEST(Resolve, AnswersThatComeAtTheDeadline) {
  for (int i = 0; i < 20; ++i) {
    const Lookup close = [](const std::string&, std::uint16_t) {
      std::this_thread::sleep_for(milliseconds(5));
      return Resolution{{SocketAddress::of_vsock(2, 1)}, ""};
    };
    const Resolution answer = ask("nas", close, milliseconds(5));
    EXPECT_NE(answer.addresses.empty(), answer.problem.empty());
  }
}

}  // namespace
}  // namespace nbdring
