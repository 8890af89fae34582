#include "client/transport/tls_seal.hpp"

#include <gtest/gtest.h>

#include <set>

namespace nbdring {
namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> from_hex(std::string_view digits) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(
        static_cast<std::byte>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

class Seal : public testing::Test {
 protected:
  const Secret secret_ = Secret::random();
  const std::vector<std::byte> text_ = bytes_of("the destination");
  const std::vector<std::byte> sealed_ = seal(secret_, "purpose", "beside", text_);
};

TEST_F(Seal, OpensForTheHolderOfTheSecret) {
  EXPECT_EQ(open_sealed(secret_, "purpose", "beside", sealed_), text_);
  EXPECT_EQ(sealed_.size(), text_.size() + seal_overhead_bytes);
}

TEST_F(Seal, AnEmptyTextCanBeSealed) {
  const auto sealed = seal(secret_, "purpose", "", {});
  EXPECT_EQ(open_sealed(secret_, "purpose", "", sealed), std::vector<std::byte>());
}

TEST_F(Seal, OpensForNoOtherSecretPurposeOrPlace) {
  EXPECT_FALSE(open_sealed(Secret::random(), "purpose", "beside", sealed_));
  EXPECT_FALSE(open_sealed(secret_, "another purpose", "beside", sealed_));
  EXPECT_FALSE(open_sealed(secret_, "purpose", "Beside", sealed_));
  EXPECT_FALSE(open_sealed(secret_, "purpose", "", sealed_));
}

TEST_F(Seal, EveryChangedBitIsNoticed) {
  for (std::size_t bit = 0; bit < sealed_.size() * 8; ++bit) {
    auto changed = sealed_;
    changed[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_FALSE(open_sealed(secret_, "purpose", "beside", changed)) << "bit " << bit;
  }
}

TEST_F(Seal, WhatIsCutOffIsNoticed) {
  for (std::size_t size = 0; size < sealed_.size(); ++size) {
    EXPECT_FALSE(open_sealed(secret_, "purpose", "beside", std::span(sealed_).first(size)));
  }
}

TEST_F(Seal, TheSameTextIsNeverSealedTheSameWay) {
  std::set<std::vector<std::byte>> seen;
  for (int i = 0; i < 100; ++i) seen.insert(seal(secret_, "purpose", "beside", text_));
  EXPECT_EQ(seen.size(), 100U);
}

// Made with Python's `cryptography` (HKDF over SHA-256, then ChaCha20Poly1305), which has no line
// in common with GnuTLS: the format stays what it is in every version of the program.
TEST_F(Seal, OpensWhatAnotherImplementationSealed) {
  Secret secret;
  for (std::size_t i = 0; i < secret_bytes; ++i) secret.bytes()[i] = static_cast<std::byte>(i);
  const auto sealed = from_hex(
      "6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283"
      "dbe284eb92e8dbad4c264a4cd742437f311d3a5755d7a096f2a55925465ef7af");
  EXPECT_EQ(open_sealed(secret, "purpose", "beside", sealed), bytes_of("sealed elsewhere"));
}

TEST(Secret, TwoAreNeverTheSame) {
  const Secret one = Secret::random();
  const Secret other = Secret::random();
  EXPECT_NE(encode_base64url(one.bytes()), encode_base64url(other.bytes()));
}

TEST(Secret, ComparesWholeTexts) {
  EXPECT_TRUE(is_same_secret("", ""));
  EXPECT_TRUE(is_same_secret("abc", "abc"));
  EXPECT_FALSE(is_same_secret("abc", "abd"));
  EXPECT_FALSE(is_same_secret("abc", "abcd"));
}

TEST(Secret, WipingLeavesNothing) {
  std::string text = "a secret that is too long to be kept within the string itself";
  const char* const where = text.data();
  const std::size_t size = text.size();
  wipe(text);
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(std::string(where, size), std::string(size, '\0'));
}

// RFC 4648, section 10, without the padding; and the two characters that differ from base64.
TEST(Base64url, IsAsTheStandardSays) {
  const std::pair<const char*, const char*> known[] = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"}};
  for (const auto& [plain, encoded] : known) {
    EXPECT_EQ(encode_base64url(bytes_of(plain)), encoded);
    EXPECT_EQ(decode_base64url(encoded), bytes_of(plain));
  }
}

TEST(Base64url, TakesOneSpellingOfEachText) {
  for (const char* wrong : {"Z", "Zg==", "Zh", "Zm9", "Zm8 ", "Zm+v", "Zm/v", "Zm9vY"}) {
    EXPECT_FALSE(decode_base64url(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace nbdring
