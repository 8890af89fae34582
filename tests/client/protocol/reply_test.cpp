#include "client/protocol/reply.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace nbdring {
namespace {

// As it goes to the wire; the cookie was "cookie!!" on the wire, too.
std::string wire(const ReplyHeader& header) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : header.used()) {
    text += digits[std::to_integer<int>(byte) >> 4];
    text += digits[std::to_integer<int>(byte) & 15];
  }
  return text;
}

std::uint64_t cookie() {
  std::uint64_t raw = 0;
  std::memcpy(&raw, "cookie!!", sizeof raw);
  return raw;
}

constexpr char cookie_text[] = "636f6f6b69652121";

TEST(EncodeReply, Simple) {
  EXPECT_EQ(wire(encode_simple_reply(cookie(), 0)), std::string("67446698"
                                                                "00000000") +
                                                        cookie_text);
  EXPECT_EQ(wire(encode_simple_reply(cookie(), nbd::enospc)), std::string("67446698"
                                                                          "0000001c") +
                                                                  cookie_text);
}

TEST(EncodeReply, DataChunkCountsTheDataThatFollow) {
  EXPECT_EQ(wire(encode_data_chunk(cookie(), 0x100000, 4096)), std::string("668e33ef"
                                                                           "0001"
                                                                           "0001") +
                                                                   cookie_text +
                                                                   "00001008"
                                                                   "0000000000100000");
}

TEST(EncodeReply, HoleChunkIsComplete) {
  EXPECT_EQ(wire(encode_hole_chunk(cookie(), 0x2000, 65536)), std::string("668e33ef"
                                                                          "0001"
                                                                          "0002") +
                                                                  cookie_text +
                                                                  "0000000c"
                                                                  "0000000000002000"
                                                                  "00010000");
}

TEST(EncodeReply, BlockStatusChunkCountsTheExtentsThatFollow) {
  EXPECT_EQ(wire(encode_block_status_chunk(cookie(), 1, 2)), std::string("668e33ef"
                                                                         "0001"
                                                                         "0005") +
                                                                 cookie_text +
                                                                 "00000014"
                                                                 "00000001");
}

TEST(EncodeReply, ErrorChunkHasNoMessage) {
  EXPECT_EQ(wire(encode_error_chunk(cookie(), nbd::eio)), std::string("668e33ef"
                                                                      "0001"
                                                                      "8001") +
                                                              cookie_text +
                                                              "00000006"
                                                              "00000005"
                                                              "0000");
}

TEST(EncodeReply, NoneChunk) {
  EXPECT_EQ(wire(encode_none_chunk(cookie())), std::string("668e33ef"
                                                           "0001"
                                                           "0000") +
                                                   cookie_text + "00000000");
}

TEST(EncodeReply, ChunksThatTheProtocolForbidsAreAProgrammersError) {
  EXPECT_DEATH(encode_error_chunk(1, 0), "internal error");
  EXPECT_DEATH(encode_data_chunk(1, 0, 0), "internal error");
  EXPECT_DEATH(encode_data_chunk(1, 0, UINT32_MAX), "internal error");
  EXPECT_DEATH(encode_hole_chunk(1, 0, 0), "internal error");
  EXPECT_DEATH(encode_block_status_chunk(1, 1, 0), "internal error");
}

TEST(NbdError, KeepsWhatTheProtocolKnows) {
  EXPECT_EQ(nbd_error_from_errno(0), 0u);
  EXPECT_EQ(nbd_error_from_errno(EPERM), nbd::eperm);
  EXPECT_EQ(nbd_error_from_errno(EIO), nbd::eio);
  EXPECT_EQ(nbd_error_from_errno(ENOMEM), nbd::enomem);
  EXPECT_EQ(nbd_error_from_errno(EINVAL), nbd::einval);
  EXPECT_EQ(nbd_error_from_errno(ENOSPC), nbd::enospc);
  EXPECT_EQ(nbd_error_from_errno(EOVERFLOW), nbd::eoverflow);
  EXPECT_EQ(nbd_error_from_errno(ENOTSUP), nbd::enotsup);
  EXPECT_EQ(nbd_error_from_errno(ESHUTDOWN), nbd::eshutdown);
}

TEST(NbdError, FoldsTheRest) {
  EXPECT_EQ(nbd_error_from_errno(EROFS), nbd::eperm);
  EXPECT_EQ(nbd_error_from_errno(EACCES), nbd::eperm);
  EXPECT_EQ(nbd_error_from_errno(EDQUOT), nbd::enospc);
  EXPECT_EQ(nbd_error_from_errno(EFBIG), nbd::enospc);
  EXPECT_EQ(nbd_error_from_errno(EOPNOTSUPP), nbd::enotsup);
  for (const int error : {EBADF, EINTR, ETIMEDOUT, ECANCELED, 4095, -1}) {
    EXPECT_EQ(nbd_error_from_errno(error), nbd::eio) << error;
  }
}

}  // namespace
}  // namespace nbdring
