#include "cli/identity.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

std::string canonical(const std::string& text) { return canonical_text(parse_backend_spec(text)); }

TEST(Identity, OneFileHasOneTextHoweverItIsWritten) {
  const TemporaryFolder folder;
  std::ofstream(folder / "disk.img") << "x";
  std::filesystem::create_symlink(folder / "disk.img", folder / "link");
  std::filesystem::create_directory(folder / "sub");
  const std::string expected = "file:" + (folder / "disk.img");
  EXPECT_EQ(canonical(folder / "disk.img"), expected);
  EXPECT_EQ(canonical("file:" + (folder / "disk.img")), expected);
  EXPECT_EQ(canonical(folder / "sub/../disk.img"), expected);
  EXPECT_EQ(canonical(folder / "link"), expected);
  EXPECT_EQ(canonical("file:" + (folder / "disk.img") + "?cache=none&readonly"), expected);
}

TEST(Identity, OtherBytesOfAFileAreAnotherBackend) {
  EXPECT_EQ(canonical("file:/x?offset=512"), "file:/x?offset=512");
  EXPECT_EQ(canonical("file:/x?size=1M"), "file:/x?size=1048576");
  EXPECT_EQ(canonical("file:/x?size=1M&offset=512"), "file:/x?offset=512&size=1048576");
}

TEST(Identity, IsPlainAsciiAndReadsBack) {
  EXPECT_EQ(canonical("/a?b#c%d\n\xc3\xbc e"), "file:/a%3Fb%23c%25d%0A%C3%BC e");
  EXPECT_EQ(canonical(canonical("/a?b#c%d\n\xc3\xbc e")), canonical("/a?b#c%d\n\xc3\xbc e"));
}

TEST(Identity, OtherLayersAreAnotherBackend) {
  const auto file = parse_backend_spec("/x");
  const auto of = [&](const std::vector<std::string>& layers) {
    return default_id(file, 1, parse_layers(layers));
  };
  EXPECT_EQ(of({}), "file:/x");
  EXPECT_EQ(of({"readonly", "offset=512,size=1K"}),
            "file:/x --layer readonly --layer offset=512,size=1K");
  EXPECT_NE(of({"readonly", "offset=512"}), of({"offset=512", "readonly"}));
  EXPECT_EQ(of({"log=/a b\n\xc3\xbc"}), "file:/x --layer log=/a b%0A%C3%BC");
  EXPECT_EQ(canonical_text(file, parse_layers({"readonly"})), of({"readonly"}));
  const auto memory = parse_backend_spec("memory:1");
  EXPECT_EQ(default_id(memory, 7, parse_layers({"readonly"})), "memory:1#7 --layer readonly");
}

TEST(Identity, MemoryIsNeverTheSameTwice) {
  const auto memory = parse_backend_spec("memory:1M");
  EXPECT_EQ(canonical_text(memory), "memory:1048576");
  EXPECT_NE(default_id(memory, 10), default_id(memory, 11));
  const auto file = parse_backend_spec("/x");
  EXPECT_EQ(default_id(file, 10), default_id(file, 11));
}

}  // namespace
}  // namespace nbdring
