#include "client/protocol/handshake_text.hpp"

#include <gtest/gtest.h>

namespace nbdring {
namespace {

TEST(Printable, KeepsText) {
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(printable("no such export 'x'"), "no such export 'x'");
  EXPECT_EQ(printable("Größe: 3 €, 磁盘 💾"), "Größe: 3 €, 磁盘 💾");
}

TEST(Printable, TakesTheTeethOutOfControls) {
  EXPECT_EQ(printable("\x1b[2Jgone\r\n\a"), "?[2Jgone???");
  EXPECT_EQ(printable(std::string_view("a\0b\x7f", 4)), "a?b?");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "?31m");  // CSI in one character
  EXPECT_EQ(printable("\xe2\x80\xae"
                      "gpj.exe"),
            "?gpj.exe");                          // right to left
  EXPECT_EQ(printable("\xf3\xa0\x81\x81"), "?");  // a tag
}

TEST(Printable, ReplacesWhatIsNoUtf8ByteByByte) {
  EXPECT_EQ(printable("\xff\xfe"), "??");
  EXPECT_EQ(printable("\xc3"), "?");
  EXPECT_EQ(printable("\xc3("), "?(");
  EXPECT_EQ(printable("\xe2\x82"), "??");
  EXPECT_EQ(printable("\xc0\xaf"), "??");            // overlong '/'
  EXPECT_EQ(printable("\xe0\x80\xaf"), "???");       // the same in three
  EXPECT_EQ(printable("\xed\xa0\x80"), "???");       // half of a surrogate pair
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????");  // beyond the last character
}

TEST(Printable, IsCutBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 6), "abcdef");
  EXPECT_EQ(printable("abcdefg", 6), "abcdef...");
  EXPECT_EQ(printable("aé", 2), "a...");
  EXPECT_EQ(printable(std::string(5000, 'x')).size(), 259u);
}

}  // namespace
}  // namespace nbdring
