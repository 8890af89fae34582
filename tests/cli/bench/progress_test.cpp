#include "cli/bench/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <array>

#include "client/runtime/file_descriptor.hpp"
#include "tests/cli/bench/sample_results.hpp"

namespace nbdring {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

ProgressView some_view() {
  ProgressView view;
  view.number = 2;
  view.of = 12;
  view.what = "4 KiB, depth 32, random reads, nbd+unix:///?socket=/run/nbdkit.sock";
  view.bytes_per_second = 1.5 * (1 << 30);
  view.requests_per_second = 393'216;
  view.seconds_left = 84.2;
  return view;
}

TEST(BenchProgress, LineSaysWhereItIsHowFastAndHowLong) {
  EXPECT_EQ(progress_line(some_view(), 120),
            "2 of 12  4 KiB, depth 32, random reads, nbd+unix:///?socket=/run/nbdkit.sock"
            "  1.50 GiB/s  393.2k IOPS  1 min left");
}

TEST(BenchProgress, NoRateIsShownBeforeThereIsOne) {
  ProgressView view = some_view();
  view.bytes_per_second.reset();
  view.seconds_left = 42;
  EXPECT_EQ(
      progress_line(view, 120),
      "2 of 12  4 KiB, depth 32, random reads, nbd+unix:///?socket=/run/nbdkit.sock  42 s left");
}

TEST(BenchProgress, FitsAnyWidthAndCutsTheNameFirst) {
  for (std::size_t columns = 1; columns <= 130; ++columns) {
    EXPECT_LE(progress_line(some_view(), columns).size(), columns);
  }
  EXPECT_EQ(progress_line(some_view(), 79),
            "2 of 12  4 KiB, depth 32, random reads,...  1.50 GiB/s  393.2k IOPS  1 min left");
  EXPECT_EQ(progress_line(some_view(), 45), "2 of 12  1.50 GiB/s  393.2k IOPS  1 min left");
}

class Terminal {
 public:
  Terminal() {
    int outer = -1;
    int inner = -1;
    const winsize size{24, 60, 0, 0};
    if (::openpty(&outer, &inner, nullptr, nullptr, &size) != 0) ADD_FAILURE() << "no terminal";
    outer_.reset(outer);
    inner_.reset(inner);
  }
  int fd() const { return inner_.get(); }
  std::string read() const {
    std::array<char, 4096> text{};
    const ssize_t length = ::read(outer_.get(), text.data(), text.size());
    return std::string(text.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  }

 private:
  FileDescriptor outer_;
  FileDescriptor inner_;
};

TEST(BenchProgress, DrawsOverItsLineAndTakesItAway) {
  const Terminal terminal;
  {
    Progress progress(terminal.fd(), 3, 10);
    progress.begin("memory:1G", depth_point(32));
    std::string text = terminal.read();
    EXPECT_THAT(text, StartsWith("\r\033[K1 of 3  4 KiB, depth 32, random reads, memory"));
    EXPECT_THAT(text, EndsWith("30 s left"));
    EXPECT_LE(text.size(), std::string("\r\033[K").size() + 59);
    progress.update(0, 0);  // warming up
    EXPECT_THAT(terminal.read(), Not(HasSubstr("IOPS")));
    progress.update(40'960'000, 10'000);
    EXPECT_THAT(terminal.read(), HasSubstr(" IOPS  30 s left"));
    progress.update(40'960'000, 10'000);
    EXPECT_THAT(terminal.read(), HasSubstr("  0 B/s  0 IOPS  "));
    BenchPoint point = depth_point(64);
    point.connections = 4;
    progress.begin("memory:1G", point);
    EXPECT_THAT(terminal.read(), HasSubstr("2 of 3  4 KiB, depth 64 x 4, random reads"));
  }
  EXPECT_EQ(terminal.read(), "\r\033[K");
}

TEST(BenchProgress, IsSilentWhereThereIsNoTerminal) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const FileDescriptor out(ends[0]);
  FileDescriptor in(ends[1]);
  {
    Progress progress(in.get(), 3, 10);
    progress.begin("memory:1G", depth_point(32));
    progress.update(1, 1);
  }
  in.reset();
  char byte = 0;
  EXPECT_EQ(::read(out.get(), &byte, 1), 0);
}

}  // namespace
}  // namespace nbdring
