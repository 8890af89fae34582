#include "backends/grow_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "client/runtime/error.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 1024 * 1024;

class GrowFileTest : public testing::Test {
 protected:
  void grow(const std::string& text, std::uint64_t bytes) const {
    grow_file(parse_backend_spec(text), bytes);
  }
  std::string refusal(const std::string& text, FailureKind kind = FailureKind::usage) const {
    try {
      grow(text, 2 * size);
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), kind);
      return failure.what();
    }
    return "";
  }

  std::uint64_t length() const {
    struct stat facts {};
    return ::fstat(file_.fd(), &facts) == 0 ? static_cast<std::uint64_t>(facts.st_size) : 0;
  }

  TemporaryFile file_{size};
  std::string text_ = "file:" + file_.path();
};

TEST_F(GrowFileTest, WhatIsNewReadsAsZerosAndTakesNoRoom) {
  file_.write(0, pattern(1, 0, size));
  grow(text_, 8 * size);
  EXPECT_TRUE(matches_pattern(file_.read(0, size), 1, 0));
  EXPECT_EQ(file_.read(size, 7 * size), std::vector<std::byte>(7 * size));
  EXPECT_LT(file_.allocated(), 2 * size);
}

TEST_F(GrowFileTest, CountsFromTheOffsetOfTheExport) {
  grow(text_ + "?offset=4096", size);
  EXPECT_EQ(length(), size + 4096);
}

TEST_F(GrowFileTest, NeverCutsOff) {
  file_.write(0, pattern(1, 0, size));
  grow(text_, size / 2);
  EXPECT_TRUE(matches_pattern(file_.read(0, size), 1, 0));
}

TEST_F(GrowFileTest, RefusesWhatCannotGrow) {
  EXPECT_NE(refusal("memory:1M").find("only a regular file"), std::string::npos);
  EXPECT_NE(refusal("nbd://localhost").find("only a regular file"), std::string::npos);
  EXPECT_NE(refusal(text_ + "?size=4096").find("size="), std::string::npos);
  EXPECT_NE(refusal("file:/dev/null").find("not a regular file"), std::string::npos);
  EXPECT_NE(refusal("file:/nowhere/at/all", FailureKind::failed).find("cannot open"),
            std::string::npos);
  EXPECT_EQ(length(), size);
}

}  // namespace
}  // namespace nbdring
