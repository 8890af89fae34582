#include "cli/resize_device.hpp"

#include <gtest/gtest.h>

namespace nbdring {
namespace {

TEST(ResizeDevice, ItsResultComesBack) {
  const ResizeResult result{std::uint64_t{1} << 40, std::uint64_t{3} << 40, 23};
  EXPECT_EQ(resize_result(to_body(result)), result);
  for (const char* body : {"", "{}", "[1,2,3]", R"({"before":1,"size":"2","stall_ms":0})"}) {
    EXPECT_EQ(resize_result(body), std::nullopt) << body;
  }
}

}  // namespace
}  // namespace nbdring
