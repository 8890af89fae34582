// A loop that waits for many descriptors at once: the front end's, with a listener per address.

#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

#include "client/runtime/loop.hpp"
#include "client/runtime/scope.hpp"
#include "tests/support/fixtures.hpp"

namespace nbdring {
namespace {

constexpr std::size_t waits = 300;

Task<void> count_when_readable(Scope& scope, Loop& loop, int fd, std::size_t& ended) {
  (void)scope;
  const int events = co_await loop.readable(fd);
  ended += events > 0 ? 1 : 0;
}

// Each pair becomes readable only after those before it were waited for.
Task<void> wait_for_all(Scope& scope, Loop& loop, std::vector<SocketPair>& pairs,
                        std::size_t& ended) {
  for (SocketPair& pair : pairs) {
    scope.spawn(count_when_readable(scope, loop, pair.near.get(), ended));
  }
  co_await loop.sleep(std::chrono::milliseconds(5));
  EXPECT_EQ(ended, 0U);
  for (SocketPair& pair : pairs) ENSURE(::write(pair.far.get(), "x", 1) == 1);
  co_await scope.join();
}

TEST(LoopManyWaits, EachIsWokenByItsOwn) {
  Loop loop;
  std::vector<SocketPair> pairs(waits);
  std::size_t ended = 0;
  Scope scope(loop.frames());
  loop.run(wait_for_all(scope, loop, pairs, ended));
  EXPECT_EQ(ended, waits);
}

}  // namespace
}  // namespace nbdring
