#include "client/protocol/request_encoder.hpp"

#include <gtest/gtest.h>

#include "client/protocol/bytes.hpp"

namespace nbdring {
namespace {

TEST(EncodeRequest, ShortForm) {
  const EncodedRequest encoded = encode_request(Command::write, nbd::cmd_flag_fua, 0x1234,
                                                0x0102030405060708, 0x11223344, false);
  ASSERT_EQ(encoded.used().size(), 28U);
  const auto header = read_struct<nbd::RequestHeader>(encoded.used());
  EXPECT_EQ(header.magic, nbd::request_magic);
  EXPECT_EQ(header.command_flags, nbd::cmd_flag_fua);
  EXPECT_EQ(header.command, nbd::cmd_write);
  EXPECT_EQ(header.cookie, 0x1234U);
  EXPECT_EQ(header.offset, 0x0102030405060708U);
  EXPECT_EQ(header.length, 0x11223344U);
  EXPECT_EQ(std::to_integer<int>(encoded.bytes[0]), 0x25) << "big-endian";
}

TEST(EncodeRequest, ExtendedForm) {
  const EncodedRequest encoded =
      encode_request(Command::trim, nbd::cmd_flag_fua, 7, 512, 1ULL << 40, true);
  ASSERT_EQ(encoded.used().size(), 32U);
  const auto header = read_struct<nbd::ExtendedRequestHeader>(encoded.used());
  EXPECT_EQ(header.magic, nbd::extended_request_magic);
  EXPECT_EQ(header.command_flags, nbd::cmd_flag_fua);
  EXPECT_EQ(header.length, 1ULL << 40);
}

TEST(EncodeRequest, ExtendedWritesSayThatTheyHaveAPayload) {
  for (const Command command : {Command::read, Command::write, Command::flush}) {
    const EncodedRequest encoded = encode_request(command, 0, 7, 0, 512, true);
    const auto header = read_struct<nbd::ExtendedRequestHeader>(encoded.used());
    EXPECT_EQ(header.command_flags, command == Command::write ? nbd::cmd_flag_payload_len : 0);
  }
}

// A 64-bit length in the short form would be another request.
TEST(EncodeRequestDeathTest, LongLengthsNeedTheExtendedForm) {
  EXPECT_DEATH(encode_request(Command::trim, 0, 1, 0, 1ULL << 32, false), "UINT32_MAX");
}

}  // namespace
}  // namespace nbdring
