// The end of a server whose backend waits for a remote: it does not wait for ever, and each
// client's part of the backend is closed.

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "backends/memory.hpp"
#include "client/engine/server.hpp"
#include "client/protocol/bytes.hpp"
#include "client/runtime/scope.hpp"
#include "tests/support/fixtures.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

/// Its reads wait until abandon(), then fail.
class WaitingBackend final : public Backend {
 public:
  const Export& about() const override { return memory_.about(); }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    return std::make_unique<WaitingLane>(*this, loop);
  }
  void abandon() noexcept override {
    constexpr std::uint64_t one = 1;
    ENSURE(::write(abandoned_.get(), &one, sizeof one) == sizeof one);
    ++abandons;
  }

  std::atomic<int> reads{0}, abandons{0}, closes{0};

 private:
  class WaitingLane final : public BackendLane {
   public:
    WaitingLane(WaitingBackend& backend, Loop& loop) : backend_(backend), loop_(loop) {}

    Task<Status> read(std::uint64_t, std::span<std::byte>) override {
      ++backend_.reads;
      co_await loop_.readable(backend_.abandoned_.get());
      co_return Status::from_errno(EIO);
    }
    Task<Status> write(std::uint64_t, std::span<const std::byte>, bool) override {
      co_return Status::ok();
    }
    Task<Status> flush() override { co_return Status::ok(); }
    Task<Status> trim(std::uint64_t, std::uint64_t, bool) override { co_return Status::ok(); }
    Task<Status> write_zeroes(std::uint64_t, std::uint64_t, ZeroMode) override {
      co_return Status::ok();
    }
    Task<Status> extents(std::uint64_t, std::uint64_t, ExtentList&) override {
      co_return Status::from_errno(ENOTSUP);
    }
    Task<Status> close() override {
      ++backend_.closes;
      co_return Status::from_errno(EIO);
    }
    FramePool& frames() override { return loop_.frames(); }

   private:
    WaitingBackend& backend_;
    Loop& loop_;
  };

  MemoryBackend memory_{1024 * 1024};
  FileDescriptor abandoned_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

void ask_for_a_read(BlockingClient& client) {
  client.receive_raw(sizeof(nbd::Greeting));
  std::vector<std::byte> bytes;
  append_struct(bytes, Be32(nbd::flag_c_fixed_newstyle | nbd::flag_c_no_zeroes));
  append_struct(bytes, nbd::OptionHeader{nbd::ihaveopt, nbd::opt_export_name, 0});
  client.send_raw(bytes);
  client.receive_raw(sizeof(nbd::ExportNameReply));
  client.send(make_request(nbd::cmd_read, 0, 512));
}

Task<void> stop_when_it_waits(Loop& loop, Server& server, WaitingBackend& backend) {
  while (backend.reads == 0) {
    co_await loop.sleep(milliseconds(1));
  }
  server.stop();
  co_await server.last_client_gone();
}

TEST(ServerEnd, AbandonsABackendThatWaitsTooLong) {
  WaitingBackend backend;
  CapturedLog log;
  ServerOptions options;
  options.lane = small_lane();
  options.patience = milliseconds(30);
  SocketPair pair;
  BlockingClient client(std::move(pair.far));
  std::thread asking([&client] { ask_for_a_read(client); });
  Loop loop;
  {
    Server server(loop, backend, options, log.log());
    server.serve_connected(std::move(pair.near));
    const auto begin = Clock::now();
    loop.run(stop_when_it_waits(loop, server, backend));
    EXPECT_GE(Clock::now() - begin, options.patience);
  }
  asking.join();
  EXPECT_EQ(backend.abandons, 1);
  EXPECT_EQ(backend.closes, 1);
  EXPECT_NE(log.text().find("may not be on stable storage"), std::string::npos) << log.text();
}

}  // namespace
}  // namespace nbdring
