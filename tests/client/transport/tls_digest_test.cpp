#include "client/transport/tls_digest.hpp"

#include <gtest/gtest.h>

#include <array>

namespace nbdring {
namespace {

TEST(TlsDigest, Sha1OfKnownTexts) {
  // FIPS 180-2, A.1: a9993e36 4706816a ba3e2571 7850c26c 9cd0d89d
  EXPECT_EQ(sha1_base64("abc"), "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
  EXPECT_EQ(sha1_base64(""), "2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
}

// RFC 4648, section 10
TEST(TlsDigest, Base64) {
  const auto base64 = [](std::string_view text) {
    return to_base64(std::as_bytes(std::span(text)));
  };
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  // Longer than any line that an encoder for mail would break.
  EXPECT_EQ(base64(std::string(300, 'a')).find('\n'), std::string::npos);
}

TEST(TlsDigest, UnpredictableBytesDiffer) {
  std::array<std::byte, 16> first{};
  std::array<std::byte, 16> second{};
  fill_unpredictable(first);
  fill_unpredictable(second);
  EXPECT_NE(first, second);
}

}  // namespace
}  // namespace nbdring
