#include "client/protocol/export.hpp"

#include <gtest/gtest.h>

namespace nbdring {
namespace {

TEST(BlockSizeConstraints, DefaultsAreThoseOfTheProtocol) {
  const BlockSizeConstraints constraints;
  EXPECT_EQ(constraints.minimum, 512u);
  EXPECT_EQ(constraints.maximum, 32u * 1024 * 1024);
  EXPECT_EQ(broken_rule(constraints), nullptr);
}

TEST(BlockSizeConstraints, AcceptsTheEdges) {
  EXPECT_EQ(broken_rule({1, 512, 512}), nullptr);
  EXPECT_EQ(broken_rule({65536, 65536, 65536}), nullptr);
  EXPECT_EQ(broken_rule({4096, 4096, UINT32_MAX}), nullptr);
  EXPECT_EQ(broken_rule({512, 0x80000000, 0x80000000}), nullptr);
}

TEST(BlockSizeConstraints, NamesTheRuleThatIsBroken) {
  const auto rule = [](std::uint32_t minimum, std::uint32_t preferred, std::uint32_t maximum) {
    const char* broken = broken_rule(BlockSizeConstraints{minimum, preferred, maximum});
    return std::string(broken == nullptr ? "none" : broken);
  };
  EXPECT_EQ(rule(0, 4096, 1 << 20), "the minimum block size is not a power of two");
  EXPECT_EQ(rule(3, 4096, 1 << 20), "the minimum block size is not a power of two");
  EXPECT_EQ(rule(131072, 131072, 1 << 20), "the minimum block size exceeds 64 KiB");
  EXPECT_EQ(rule(512, 0, 1 << 20), "the preferred block size is not a power of two");
  EXPECT_EQ(rule(512, 5000, 1 << 20), "the preferred block size is not a power of two");
  EXPECT_EQ(rule(1, 256, 1 << 20), "the preferred block size is less than 512 or than the minimum");
  EXPECT_EQ(rule(4096, 2048, 1 << 20),
            "the preferred block size is less than 512 or than the minimum");
  EXPECT_EQ(rule(512, 4096, 2048), "the maximum payload is less than the preferred block size");
  EXPECT_EQ(rule(4096, 4096, 5000),
            "the maximum payload is not a multiple of the minimum block size");
}

Export sound_export() {
  Export about;
  about.name = "disk";
  about.size = 5000;
  return about;
}

TEST(Export, IsSound) {
  EXPECT_EQ(broken_rule(sound_export()), nullptr);
  EXPECT_EQ(broken_rule(Export{}), nullptr);
}

TEST(Export, NamesTheRuleThatIsBroken) {
  Export about = sound_export();
  about.size = nbd::largest_export + 1;
  EXPECT_STREQ(broken_rule(about), "the size is 2^63 bytes or more");

  about = sound_export();
  about.name = std::string(4097, 'x');
  EXPECT_STREQ(broken_rule(about), "the name is longer than 4096 bytes");
  about.name = std::string("a\0b", 3);
  EXPECT_STREQ(broken_rule(about), "the name contains a NUL");

  about = sound_export();
  about.description = std::string(4097, 'x');
  EXPECT_STREQ(broken_rule(about), "the description is longer than 4096 bytes");

  about = sound_export();
  about.transmission_flags = nbd::flag_send_flush;
  EXPECT_STREQ(broken_rule(about), "the transmission flags lack HAS_FLAGS");
  about.transmission_flags = nbd::flag_has_flags | nbd::flag_send_fast_zero;
  EXPECT_STREQ(broken_rule(about),
               "the transmission flags have SEND_FAST_ZERO without SEND_WRITE_ZEROES");

  about = sound_export();
  about.block_size.minimum = 3;
  EXPECT_STREQ(broken_rule(about), "the minimum block size is not a power of two");
}

TEST(Export, TellsItsFlags) {
  Export about;
  about.transmission_flags = nbd::flag_has_flags | nbd::flag_read_only;
  EXPECT_TRUE(about.has(nbd::flag_read_only));
  EXPECT_TRUE(about.is_read_only());
  EXPECT_FALSE(about.has(nbd::flag_send_trim));
}

}  // namespace
}  // namespace nbdring
