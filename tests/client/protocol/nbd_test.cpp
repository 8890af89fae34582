// The constants are names for numbers; what can be wrong is the order and width of fields, so these
// are compared with messages written down byte by byte from the protocol document.

#include "client/protocol/nbd.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nbdring::nbd {
namespace {

template <typename T>
std::string hexadecimal(const T& value) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : std::as_bytes(std::span(&value, 1))) {
    text += digits[std::to_integer<int>(byte) >> 4];
    text += digits[std::to_integer<int>(byte) & 15];
  }
  return text;
}

TEST(Wire, Handshake) {
  EXPECT_EQ(hexadecimal(Greeting{init_passwd, ihaveopt, 3}),
            "4e42444d41474943"
            "49484156454f5054"
            "0003");
  EXPECT_EQ(hexadecimal(OptionHeader{ihaveopt, opt_go, 6}),
            "49484156454f5054"
            "00000007"
            "00000006");
  EXPECT_EQ(hexadecimal(OptionReplyHeader{option_reply_magic, opt_go, rep_err_unsup, 0}),
            "0003e889045565a9"
            "00000007"
            "80000001"
            "00000000");
  EXPECT_EQ(hexadecimal(ExportNameReply{0x10000000, 3}),
            "0000000010000000"
            "0003");
  EXPECT_EQ(hexadecimal(InfoExport{info_export, 512, 5}),
            "0000"
            "0000000000000200"
            "0005");
  EXPECT_EQ(hexadecimal(InfoBlockSize{info_block_size, 1, 4096, 0x02000000}),
            "0003"
            "00000001"
            "00001000"
            "02000000");
}

TEST(Wire, Transmission) {
  EXPECT_EQ(hexadecimal(RequestHeader{request_magic, cmd_flag_fua, cmd_write, 0, 0x1000, 512}),
            "25609513"
            "0001"
            "0001"
            "0000000000000000"
            "0000000000001000"
            "00000200");
  EXPECT_EQ(hexadecimal(SimpleReplyHeader{simple_reply_magic, einval, 0}),
            "67446698"
            "00000016"
            "0000000000000000");
  EXPECT_EQ(hexadecimal(StructuredReplyHeader{structured_reply_magic, reply_flag_done,
                                              reply_type_error, 0, 6}),
            "668e33ef"
            "0001"
            "8001"
            "0000000000000000"
            "00000006");
  EXPECT_EQ(hexadecimal(OffsetHole{0x2000, 4096}),
            "0000000000002000"
            "00001000");
  EXPECT_EQ(hexadecimal(ChunkError{eio, 0}),
            "00000005"
            "0000");
  EXPECT_EQ(hexadecimal(Extent{65536, extent_hole | extent_zero}),
            "00010000"
            "00000003");
}

}  // namespace
}  // namespace nbdring::nbd
