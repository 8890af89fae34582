// READs of a file whose pages go to the client without a copy: through real sockets, with clients
// that are slow, and a file that changes under the reply.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <vector>

#include "backends/file.hpp"
#include "client/engine/device.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/random.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t size = 4 * 1024 * 1024;
constexpr std::uint32_t length = 256 * 1024;

Clock::time_point soon() { return Clock::now() + std::chrono::seconds(10); }

// A file's lane, seen by the test: counts what is lent, and can cut the file right before.
class WatchedFile final : public Backend {
 public:
  explicit WatchedFile(FileBackend& file) : file_(file) {}
  const Export& about() const override { return file_.about(); }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override;

  std::atomic<int> lent{0};
  std::atomic<int> cut_fd{-1};

 private:
  class WatchedLane;
  FileBackend& file_;
};

class WatchedFile::WatchedLane final : public BackendLane, private PageLender {
 public:
  WatchedLane(WatchedFile& owner, std::unique_ptr<BackendLane> file)
      : owner_(owner), file_(std::move(file)) {}

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    return file_->read(offset, buffer);
  }
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
    return file_->write(offset, buffer, fua);
  }
  Task<Status> flush() override { return file_->flush(); }
  Task<Status> trim(std::uint64_t offset, std::uint64_t count, bool fua) override {
    return file_->trim(offset, count, fua);
  }
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t count, ZeroMode mode) override {
    return file_->write_zeroes(offset, count, mode);
  }
  Task<Status> extents(std::uint64_t offset, std::uint64_t count, ExtentList& list) override {
    return file_->extents(offset, count, list);
  }
  FramePool& frames() override { return file_->frames(); }
  PageLender* lender() noexcept override { return this; }

 private:
  bool has_at_hand(std::uint64_t offset, std::size_t count) noexcept override {
    return file_->lender()->has_at_hand(offset, count);
  }
  std::size_t lend(std::uint64_t offset, std::size_t count, int pipe) noexcept override {
    ++owner_.lent;
    const int fd = owner_.cut_fd.exchange(-1);
    if (fd >= 0) {
      EXPECT_EQ(::ftruncate(fd, static_cast<off_t>(offset + count / 2)), 0);
    }
    return file_->lender()->lend(offset, count, pipe);
  }

  WatchedFile& owner_;
  std::unique_ptr<BackendLane> file_;
};

std::unique_ptr<BackendLane> WatchedFile::open_lane(Loop& loop) {
  return std::make_unique<WatchedLane>(*this, file_.open_lane(loop));
}

class LaneLendsTest : public testing::Test {
 protected:
  LaneLendsTest() : file_(size) {
    ::signal(SIGPIPE, SIG_IGN);
    file_.write(0, pattern(1, 0, size));
    FileSpec spec;
    spec.path = file_.path();
    backend_ = std::make_unique<FileBackend>(spec, log_.log());
    watched_ = std::make_unique<WatchedFile>(*backend_);
  }
  // send_buffer: bytes that the lane's socket holds; 0: as the kernel has it.
  void start(int send_buffer = 0) {
    SocketPair pair;
    if (send_buffer > 0) {
      ::setsockopt(pair.near.get(), SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    }
    client_ = std::make_unique<BlockingClient>(std::move(pair.far));
    DeviceOptions options;
    options.lane = small_lane();
    options.lane.slots = 32;
    options.lane.resident_bytes = 8 * length;
    device_ = std::make_unique<Device>(*watched_, options, log_.log());
    std::vector<FileDescriptor> sockets;
    sockets.push_back(std::move(pair.near));
    device_->start(std::move(sockets));
  }
  void ask(std::uint64_t offset, std::uint32_t count = length) {
    client_->send(make_request(nbd::cmd_read, offset, count));
  }
  void expect_pattern(std::uint64_t number = 1) {
    const ClientReply reply = client_->reply();
    EXPECT_EQ(reply.error, 0U);
    ASSERT_EQ(reply.data.size(), reply.request.length);
    EXPECT_TRUE(matches_pattern(reply.data, number, reply.request.offset)) << reply.request.offset;
  }
  std::uint64_t reads_sent() {
    return device_->stats(0).commands[static_cast<std::size_t>(StatsCommand::read)].requests.get();
  }

  CapturedLog log_;
  TemporaryFile file_;
  std::unique_ptr<FileBackend> backend_;
  std::unique_ptr<WatchedFile> watched_;
  std::unique_ptr<BlockingClient> client_;
  std::unique_ptr<Device> device_;
};

TEST_F(LaneLendsTest, AnswersReadsOfEverySizeWhetherLentOrNot) {
  for (const int send_buffer : {0, 4608, 100'000}) {
    start(send_buffer);
    Random random(5);
    int outstanding = 0;
    for (int i = 0; i < 300; ++i) {
      const auto count =
          static_cast<std::uint32_t>(1 + random.below(random.percent(50) ? length : 5000));
      ask(random.below(size - count), count);
      if (++outstanding == 8) {
        expect_pattern();
        --outstanding;
      }
    }
    for (; outstanding > 0; --outstanding) expect_pattern();
    EXPECT_GT(watched_->lent, 50) << send_buffer;
    EXPECT_LT(watched_->lent, 900);
    client_->close();
    device_.reset();
  }
}

TEST_F(LaneLendsTest, LendsAndDoesNotCopy) {
  start(2 * length);
  ask(0, length / 2);
  ASSERT_TRUE(eventually([this] { return reads_sent() == 1; }));
  file_.write(0, pattern(2, 0, length / 2));  // concurrent: the reply has not been received
  expect_pattern(2);
  ask(0, length / 2);
  expect_pattern(2);
  EXPECT_EQ(watched_->lent, 2);
}

TEST_F(LaneLendsTest, ReplyOutlivesAHoleThatIsPunchedUnderIt) {
  start(2 * length);
  ask(0, length / 2);
  ASSERT_TRUE(eventually([this] { return reads_sent() == 1; }));
  ASSERT_EQ(::fallocate(file_.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, length), 0);
  file_.write(length, pattern(3, 0, length));
  const ClientReply reply = client_->reply();
  EXPECT_EQ(reply.error, 0U);
  ASSERT_EQ(reply.data.size(), length / 2);
  for (std::size_t i = 0; i < reply.data.size(); ++i) {
    const bool is_old_or_zero = reply.data[i] == pattern_at(1, i) || reply.data[i] == std::byte{0};
    ASSERT_TRUE(is_old_or_zero) << "at " << i;
  }
  ask(0, length / 2);
  expect_pattern(0);
}

TEST_F(LaneLendsTest, AnswersWithAnErrorWhereTheFileIsCutInTheMiddleOfARead) {
  start();
  ask(0);
  ask(length);
  expect_pattern();
  expect_pattern();
  watched_->cut_fd = file_.fd();
  ask(8 * length);
  EXPECT_EQ(client_->reply().error, nbd::eio);
  ask(2 * length);
  expect_pattern();
  ask(3 * length);
  expect_pattern();
  EXPECT_EQ(watched_->lent, 5) << "the pipe is not used any more";
}

TEST_F(LaneLendsTest, ReadsFromTheDiskWhatIsNotInThePageCache) {
  ASSERT_EQ(::fsync(file_.fd()), 0);
  ::posix_fadvise(file_.fd(), 0, 0, POSIX_FADV_DONTNEED);
  start();
  ask(size / 2);
  expect_pattern();
  const int cold = watched_->lent;
  ask(size / 2);
  expect_pattern();
  EXPECT_LE(cold, 1);
  EXPECT_EQ(watched_->lent, cold + 1);
}

TEST_F(LaneLendsTest, PausesWhenTheLastReplyIsOutAndNotBefore) {
  start(4608);
  for (int i = 0; i < 6; ++i) ask(static_cast<std::uint64_t>(i) * length);
  ASSERT_TRUE(eventually([this] { return watched_->lent > 0; }));
  EXPECT_FALSE(device_->pause(Clock::now() + milliseconds{50}));
  for (int i = 0; i < 6; ++i) expect_pattern();
  ASSERT_TRUE(device_->pause(soon()));
  pollfd set{client_->fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&set, 1, 20), 0) << "more than the replies";
  device_->resume();
  ask(77);
  expect_pattern();
}

TEST_F(LaneLendsTest, EndsInTheMiddleOfAReply) {
  start(4608);
  for (int i = 0; i < 6; ++i) ask(static_cast<std::uint64_t>(i) * length);
  client_->receive_raw(100'000);
  client_->close();
  EXPECT_TRUE(eventually([this] { return device_->stats(0).state.load() != LaneState::serving; }));
  device_.reset();
}

}  // namespace
}  // namespace nbdring
