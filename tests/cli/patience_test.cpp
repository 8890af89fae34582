#include "cli/patience.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <vector>

#include "backends/memory.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

class PatienceTest : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> open(std::function<std::unique_ptr<Backend>()> how) {
    std::unique_ptr<Backend> backend;
    Patience patience{[&] { backend = how(); },
                      [this](const std::string& text) { told_.push_back(text); }, stop_.get()};
    Log log(LogLevel::error, LogFormat::text);
    const bool is_open = open_when_reachable(patience, log);
    EXPECT_EQ(is_open, backend != nullptr);
    return backend;
  }

  FileDescriptor stop_{::eventfd(0, EFD_CLOEXEC)};
  std::vector<std::string> told_;
};

[[noreturn]] void fail(FailureKind kind) { throw Failure(kind, "no"); }

TEST_F(PatienceTest, WhatIsInReachIsOpenedAtOnce) {
  EXPECT_NE(open([] { return std::make_unique<MemoryBackend>(4096); }), nullptr);
  EXPECT_TRUE(told_.empty());
}

TEST_F(PatienceTest, WhatIsOutOfReachIsTriedAgain) {
  int tries = 0;
  const auto backend = open([&]() -> std::unique_ptr<Backend> {
    if (++tries < 2) fail(FailureKind::unreachable);
    return std::make_unique<MemoryBackend>(4096);
  });
  EXPECT_NE(backend, nullptr);
  EXPECT_EQ(tries, 2);
  EXPECT_THAT(told_, ::testing::ElementsAre("waiting: no"));
}

TEST_F(PatienceTest, WhoIsToldToEndWaitsNoLonger) {
  ASSERT_EQ(::eventfd_write(stop_.get(), 1), 0);
  EXPECT_EQ(open([]() -> std::unique_ptr<Backend> { fail(FailureKind::unreachable); }), nullptr);
}

TEST_F(PatienceTest, OtherFailuresAreFailures) {
  EXPECT_THROW(open([]() -> std::unique_ptr<Backend> { fail(FailureKind::refused); }), Failure);
}

}  // namespace
}  // namespace nbdring
