#include "backends/open.hpp"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/fixtures.hpp"

namespace nbdring {
namespace {

std::unique_ptr<Backend> open_text(const std::string& text, bool read_only = false) {
  CapturedLog log;
  OpenOptions options;
  options.read_only = read_only;
  return open_backend(parse_backend_spec(text), options, log.log());
}

FailureKind failure_of(const std::string& text) {
  try {
    open_text(text);
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()), "");
    return failure.kind();
  }
  ADD_FAILURE() << text << " was opened";
  return FailureKind::failed;
}

TEST(OpenBackend, OpensEveryKindThatIsHere) {
  const TemporaryFile file(8192);
  EXPECT_EQ(open_text(file.path())->about().size, 8192U);
  EXPECT_EQ(open_text("memory:1M")->about().size, 1048576U);
  EXPECT_EQ(open_text("null:1T")->about().size, std::uint64_t{1} << 40);
}

TEST(OpenBackend, PassesReadOnlyOn) {
  const TemporaryFile file(8192);
  for (const auto& text : {file.path(), std::string("memory:1M"), std::string("null:1M")}) {
    EXPECT_FALSE(open_text(text)->about().is_read_only()) << text;
    EXPECT_TRUE(open_text(text, true)->about().is_read_only()) << text;
  }
}

TEST(OpenBackend, SaysWhatIsWrongWithARemote) {
  EXPECT_EQ(failure_of("nbd+unix:///?socket=/nonexistent/socket"), FailureKind::unreachable);
  EXPECT_EQ(failure_of("ws://localhost:1/x"), FailureKind::unreachable);
  EXPECT_EQ(failure_of("ws://localhost:1/x?token-file=/nonexistent"), FailureKind::usage);
}

TEST(OpenBackend, FailsForAFileThatIsNotThere) { failure_of("/nonexistent/file"); }

}  // namespace
}  // namespace nbdring
