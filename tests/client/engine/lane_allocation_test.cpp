// Nothing on the data path allocates: neither the engine nor the backends, once the lane serves.
#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "backends/file.hpp"
#include "backends/memory.hpp"
#include "client/engine/lane.hpp"
#include "tests/support/allocations.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 4 * 1024 * 1024;

// Requests of every kind, `depth` at a time.
void exchange(BlockingClient& client, int requests, std::size_t depth) {
  const auto data = pattern(1, 0, 65536);
  Random random(7);
  for (int i = 0; i < requests; ++i) {
    while (client.side().outstanding().size() >= depth) client.reply();
    const std::uint32_t length = random.percent(90) ? 4096 : 65536;
    const std::uint64_t offset = random.below(size / 65536) * 65536;
    const std::uint16_t fua = random.percent(5) ? nbd::cmd_flag_fua : 0;
    const std::uint64_t choice = random.below(100);
    if (choice < 45) {
      client.send(make_request(nbd::cmd_read, offset, length));
    } else if (choice < 85) {
      client.send(make_request(nbd::cmd_write, offset, length, fua), std::span(data).first(length));
    } else if (choice < 87) {
      client.send(make_request(nbd::cmd_flush, 0, 0));
    } else if (choice < 91) {
      client.send(make_request(nbd::cmd_trim, offset, length));
    } else if (choice < 97) {
      const std::uint16_t no_hole = random.percent(50) ? nbd::cmd_flag_no_hole : 0;
      client.send(make_request(nbd::cmd_write_zeroes, offset, length, no_hole));
    } else if (choice < 98) {
      client.send(make_request(nbd::cmd_write, size, 4096), std::span(data).first(4096));
    } else {
      client.send(make_request(nbd::cmd_block_status, offset, length));
    }
  }
  while (!client.side().outstanding().empty()) client.reply();
}

void expect_no_allocation(Backend& backend, int requests, std::size_t depth) {
  const std::uint64_t before = counted_allocations();
  LaneOptions options;
  options.slots = depth;
  LaneFixture lane(backend, options, TransmissionOptions{true, true});
  ASSERT_EQ(lane.wait_serving(), LaneState::serving);
  exchange(lane.client(), requests, depth);
  EXPECT_EQ(counted_allocations() - before, 0U) << "allocations by the lane's thread";
  lane.client().send(make_request(nbd::cmd_disc, 0, 0));
  EXPECT_TRUE(lane.end().is_orderly);
  EXPECT_EQ(lane.frame_fallbacks(), 0U) << "coroutine frames that did not fit the pool";
}

TEST(Allocations, AreCountedAtAll) {
  const std::uint64_t before = counted_allocations();
  count_allocations_of_this_thread(true);
  const auto text = std::make_unique<std::string>(1000, 'x');
  count_allocations_of_this_thread(false);
  EXPECT_GE(counted_allocations() - before, 2U);
  EXPECT_EQ(text->size(), 1000U);
}

TEST(Lane, AllocatesNothingOverMemory) {
  MemoryBackend memory(size);
  expect_no_allocation(memory, 20'000, 64);
}

TEST(Lane, AllocatesNothingWithTheDriversQueueDepth) {
  MemoryBackend memory(size);
  expect_no_allocation(memory, 5'000, 128);
}

// Its reads of 64 KiB are lent.
TEST(Lane, AllocatesNothingOverABufferedFile) {
  ::signal(SIGPIPE, SIG_IGN);
  const TemporaryFile file(size);
  CapturedLog log;
  FileSpec options;
  options.path = file.path();
  FileBackend backend(options, log.log());
  expect_no_allocation(backend, 5'000, 64);
}

TEST(Lane, AllocatesNothingOverADirectFile) {
  const TemporaryFile file(size);
  CapturedLog log;
  FileSpec options;
  options.path = file.path();
  options.cache = FileSpec::Cache::none;
  std::unique_ptr<FileBackend> backend;
  try {
    backend = std::make_unique<FileBackend>(options, log.log());
  } catch (const Failure& failure) {
    GTEST_SKIP() << failure.what();
  }
  expect_no_allocation(*backend, 3'000, 128);
}

}  // namespace
}  // namespace nbdring
