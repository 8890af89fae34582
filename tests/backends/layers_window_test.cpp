#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "backends/open.hpp"
#include "tests/backends/layers_stack.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 64 * 1024;
using testing::HasSubstr;

TEST(Layers, NamesAndArgumentsAreTakenApart) {
  EXPECT_EQ(parse_layer("readonly"), (LayerSpec{"readonly", ""}));
  EXPECT_EQ(parse_layer("offset=1K,size=2K"), (LayerSpec{"offset", "1K,size=2K"}));
  EXPECT_EQ(parse_layer("log=a=b"), (LayerSpec{"log", "a=b"}));
}

TEST(Layers, ANameThatNoLayerHasIsRefusedWithThoseThatAre) {
  for (const char* text : {"", "offse", "OFFSET=1", "=5", "readonly "}) {
    EXPECT_THROW(parse_layer(text), Failure) << text;
  }
  EXPECT_THAT(refusal(size, {"nosuch"}), HasSubstr("'nosuch' is not a layer; say one of readonly"));
  EXPECT_THAT(refusal(size, std::vector<std::string>(17, "readonly")), HasSubstr("more than 16"));
  EXPECT_EQ(refusal(size, std::vector<std::string>(16, "readonly")), "");
}

struct WrongArgument {
  const char* text;
  const char* expected;
};

class WrongArguments : public testing::TestWithParam<WrongArgument> {};

TEST_P(WrongArguments, AreRefusedInOneLine) {
  const std::string told = refusal(size, {GetParam().text});
  EXPECT_THAT(told, HasSubstr(GetParam().expected));
  EXPECT_THAT(told, testing::StartsWith(std::string("--layer ") + GetParam().text + ": "));
  EXPECT_EQ(told.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Layers, WrongArguments,
    testing::Values(
        WrongArgument{"readonly=1", "takes no argument"}, WrongArgument{"offset", "where"},
        WrongArgument{"offset=x", "'x' is not a number of bytes; write it as offset=BYTES"},
        WrongArgument{"offset=-1", "'-1'"}, WrongArgument{"offset=65537", "only 65536 bytes"},
        WrongArgument{"offset=65536", "nothing is left"},
        WrongArgument{"offset=1,size=0", "nothing is left"},
        WrongArgument{"offset=1,size=65536", "only 65535 bytes from there on"},
        WrongArgument{"offset=1,2", "where"}, WrongArgument{"offset=1,", "separator"},
        WrongArgument{"offset=1,size=1,size=2", "where"}, WrongArgument{"offset=size=1", "where"},
        WrongArgument{"rate", "bytes"}, WrongArgument{"rate=100", "less than 512"},
        WrongArgument{"rate=1M/h", "'1M/h'"}, WrongArgument{"delay", "how long"},
        WrongArgument{"delay=1.5", "'1.5'"}, WrongArgument{"delay=600001", "0 to 600000"},
        WrongArgument{"delay=5,read:1", "for every command"},
        WrongArgument{"delay=read:1,read:2", "twice"},
        WrongArgument{"delay=cache:1", "'cache' is not a command"},
        WrongArgument{"delay=ms=1", "'ms=' is not understood"},
        WrongArgument{"error", "not an error"}, WrongArgument{"error=EAGAIN", "'EAGAIN'"},
        WrongArgument{"error=EIO:200%", "'200%'"}, WrongArgument{"error=EIO:x%", "'x%'"},
        WrongArgument{"error=EIO:%", "'%'"}, WrongArgument{"error=EIO:sync", "'sync'"},
        WrongArgument{"error=EIO:read:write", "'write' is not understood"},
        WrongArgument{"error=EIO:", "'' is not understood"},
        WrongArgument{"error=EIO:file=", "names none"}, WrongArgument{"log", "names no file"},
        WrongArgument{"blocksize", "number"}, WrongArgument{"blocksize=0", "power of two"},
        WrongArgument{"blocksize=513", "power of two"},
        WrongArgument{"blocksize=128K", "power of two"}, WrongArgument{"tar", "names no member"},
        WrongArgument{"partition", "1 to 8192"}, WrongArgument{"partition=0", "1 to 8192"}));

TEST(OffsetLayer, ShowsAPartAndTouchesNothingElse) {
  LayerStack stack(size, {"offset=1000,size=5000"});
  EXPECT_EQ(stack.about().size, 5000U);
  EXPECT_EQ(broken_rule(stack.about()), nullptr);
  std::vector<std::byte> buffer(5000);
  ASSERT_EQ(stack->read(0, buffer), 0);
  EXPECT_TRUE(matches_pattern(buffer, 1, 1000));

  fill_pattern(buffer, 2, 1000);
  ASSERT_EQ(stack->write(0, buffer), 0);
  ASSERT_EQ(stack->write_zeroes(4999, 1), 0);
  ASSERT_EQ(stack->trim(0, 1), 0);
  EXPECT_TRUE(matches_pattern(stack.bytes().first(1000), 1, 0));
  EXPECT_EQ(stack.bytes()[1000], std::byte{0});
  EXPECT_TRUE(matches_pattern(stack.bytes().subspan(1001, 4998), 2, 1001));
  EXPECT_EQ(stack.bytes()[5999], std::byte{0});
  EXPECT_TRUE(matches_pattern(stack.bytes().subspan(6000), 1, 6000));
  const auto extents = stack->extents(10, 4990);
  ASSERT_EQ(extents.size(), 1U);
  EXPECT_EQ(extents[0].length, 4990U);
}

TEST(OffsetLayer, GoesToTheEndWithoutASize) {
  LayerStack stack(size, {"offset=63K"});
  EXPECT_EQ(stack.about().size, 1024U);
  std::vector<std::byte> buffer(1);
  ASSERT_EQ(stack->read(1023, buffer), 0);
  EXPECT_TRUE(matches_pattern(buffer, 1, size - 1));
}

TEST(OffsetLayer, EndsWithBlocks) {
  EXPECT_THAT(refusal(size, {"offset=100", "blocksize=512"}), HasSubstr("whole blocks of 512"));
  EXPECT_THAT(refusal(size, {"offset=512,size=100", "blocksize=512"}), HasSubstr("whole blocks"));
  EXPECT_EQ(refusal(size, {"offset=100", "blocksize=1", "blocksize=512"}), "");
}

TEST(ReadOnlyLayer, RefusesWhatChangesAndOffersNothingOfIt) {
  LayerStack stack(size, {"readonly"});
  EXPECT_TRUE(stack.about().is_read_only());
  EXPECT_FALSE(stack.about().has(nbd::flag_send_trim | nbd::flag_send_write_zeroes |
                                 nbd::flag_send_fast_zero));
  EXPECT_TRUE(stack.about().has(nbd::flag_can_multi_conn));
  EXPECT_EQ(broken_rule(stack.about()), nullptr);
  std::vector<std::byte> buffer(512);
  EXPECT_EQ(stack->write(0, buffer), EPERM);
  EXPECT_EQ(stack->trim(0, 512), EPERM);
  EXPECT_EQ(stack->write_zeroes(0, 512), EPERM);
  EXPECT_EQ(stack->flush(), 0);
  EXPECT_EQ(stack->read(0, buffer), 0);
  EXPECT_TRUE(matches_pattern(stack.bytes(), 1, 0));
}

// 4 KiB of 1 KiB on, and the other way round: the outermost comes first.
TEST(Layers, TwoInBothOrders) {
  LayerStack inner_part(size, {"offset=512,size=1K", "offset=1K,size=4K"});
  std::vector<std::byte> buffer(1024);
  EXPECT_EQ(inner_part.about().size, 1024U);
  ASSERT_EQ(inner_part->read(0, buffer), 0);
  EXPECT_TRUE(matches_pattern(buffer, 1, 1536));
  EXPECT_THAT(refusal(size, {"offset=1K,size=4K", "offset=512,size=1K"}),
              HasSubstr("only 0 bytes"));

  for (const std::vector<std::string>& layers :
       {std::vector<std::string>{"readonly", "offset=1K"}, {"offset=1K", "readonly"}}) {
    LayerStack stack(size, layers);
    EXPECT_TRUE(stack.about().is_read_only());
    EXPECT_EQ(stack.about().size, size - 1024);
    EXPECT_EQ(stack->write(0, buffer), EPERM);
    ASSERT_EQ(stack->read(0, buffer), 0);
    EXPECT_TRUE(matches_pattern(buffer, 1, 1024));
  }
}

TEST(Layers, AreOpenedWithTheBackend) {
  CapturedLog log;
  OpenOptions options;
  options.layers = parse_layers({"offset=512", "blocksize=512"});
  const auto spec = parse_backend_spec("memory:64K");
  auto backend = open_backend(spec, options, log.log());
  EXPECT_EQ(backend->about().size, size - 512);
  EXPECT_EQ(backend->about().block_size.minimum, 512U);
  EXPECT_FALSE(backend->about().is_read_only());
  options.read_only = true;
  EXPECT_TRUE(open_backend(spec, options, log.log())->about().is_read_only());
}

// A base without write permission is writable above a cow, unless the user says read-only.
TEST(Layers, ReadOnlyIsForTheWholeStack) {
  CapturedLog log;
  const TemporaryFile file(size);
  OpenOptions options;
  options.layers = parse_layers({"cow"});
  const auto spec = parse_backend_spec(file.path());
  const auto first = open_backend(spec, options, log.log());
  const auto second = open_backend(spec, options, log.log());
  EXPECT_FALSE(first->about().is_read_only() || second->about().is_read_only());
  options.read_only = true;
  EXPECT_TRUE(open_backend(spec, options, log.log())->about().is_read_only());
}

}  // namespace
}  // namespace nbdring
