#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <thread>

#include "tests/backends/layers_stack.hpp"
#include "tests/support/random.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 1024 * 1024;

/// A layer over blocks of 4 KiB or so that refuse anything else.
class SmallBlocks {
 public:
  explicit SmallBlocks(std::uint32_t block = 4096, const std::string& layer = "blocksize=1") {
    auto below = std::make_unique<StrictBackend>(size, block);
    bytes_ = below->bytes();
    backend_ = over(std::move(below), {layer}, log_.log());
    user_ = std::make_unique<BackendUser>(*backend_);
  }
  BackendUser* operator->() { return user_.get(); }
  Backend& backend() { return *backend_; }
  std::span<std::byte> bytes() { return bytes_; }

 private:
  CapturedLog log_;
  std::span<std::byte> bytes_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<BackendUser> user_;
};

TEST(BlocksizeLayer, OffersWhatIsAsked) {
  for (const std::uint32_t block : {1U, 512U, 4096U, 65536U}) {
    LayerStack stack(size, {"blocksize=" + std::to_string(block)});
    EXPECT_EQ(stack.about().block_size.minimum, block);
    EXPECT_GE(stack.about().block_size.preferred, block);
    EXPECT_EQ(broken_rule(stack.about()), nullptr);
    EXPECT_EQ(stack.about().size, size);
  }
}

TEST(BlocksizeLayer, CutsWhatABlockAtTheEndDoesNotFill) {
  LayerStack stack(10000, {"blocksize=4096"});
  EXPECT_EQ(stack.about().size, 8192U);
  EXPECT_THAT(stack.log(), testing::HasSubstr("bytes=1808"));
  EXPECT_THAT(refusal(4095, {"blocksize=4096"}), testing::HasSubstr("not one such block"));
}

struct Piece {
  std::uint64_t offset, length;
};

class Pieces : public testing::TestWithParam<Piece> {};

// Every way of lying across blocks, read, written and zeroed; all around stays as it was.
TEST_P(Pieces, AreReadWrittenAndZeroed) {
  const auto [offset, length] = GetParam();
  SmallBlocks blocks;
  std::vector<std::byte> buffer(length);
  ASSERT_EQ(blocks->read(offset, buffer), 0);
  EXPECT_TRUE(matches_pattern(buffer, 1, offset));
  fill_pattern(buffer, 2, offset);
  ASSERT_EQ(blocks->write(offset, buffer), 0);
  EXPECT_TRUE(matches_pattern(blocks.bytes().first(offset), 1, 0));
  EXPECT_TRUE(matches_pattern(blocks.bytes().subspan(offset, length), 2, offset));
  EXPECT_TRUE(matches_pattern(blocks.bytes().subspan(offset + length), 1, offset + length));
  ASSERT_EQ(blocks->write_zeroes(offset, length), 0);
  EXPECT_TRUE(matches_pattern(blocks.bytes().first(offset), 1, 0));
  EXPECT_TRUE(matches_pattern(blocks.bytes().subspan(offset, length), 0, offset));
  EXPECT_TRUE(matches_pattern(blocks.bytes().subspan(offset + length), 1, offset + length));
}

INSTANTIATE_TEST_SUITE_P(BlocksizeLayer, Pieces,
                         testing::Values(Piece{0, 1}, Piece{1, 1}, Piece{4095, 1}, Piece{4095, 2},
                                         Piece{0, 4095}, Piece{0, 4096}, Piece{1, 4096},
                                         Piece{4096, 4097}, Piece{100, 8192}, Piece{65535, 65538},
                                         Piece{65536, 65536}, Piece{1, size - 1}, Piece{0, size},
                                         Piece{4095, 65536 + 2}, Piece{size - 1, 1}));

TEST(BlocksizeLayer, TrimsOnlyWholeBlocks) {
  SmallBlocks blocks;
  ASSERT_EQ(blocks->trim(1, 4095), 0);
  ASSERT_EQ(blocks->trim(5000, 10), 0);
  EXPECT_TRUE(matches_pattern(blocks.bytes(), 1, 0));
  ASSERT_EQ(blocks->trim(4000, 8192), 0);
  EXPECT_TRUE(matches_pattern(blocks.bytes().first(4096), 1, 0));
  EXPECT_TRUE(matches_pattern(blocks.bytes().subspan(4096, 4096), 0, 0));
  EXPECT_TRUE(matches_pattern(blocks.bytes().subspan(8192), 1, 8192));
}

TEST(BlocksizeLayer, FastZeroOfAPartIsNotFast) {
  SmallBlocks blocks;
  EXPECT_EQ(blocks->write_zeroes(1, 8192, {false, false, true}), ENOTSUP);
  EXPECT_TRUE(matches_pattern(blocks.bytes(), 1, 0));
  EXPECT_EQ(blocks->write_zeroes(4096, 8192, {false, false, true}), 0);
}

TEST(BlocksizeLayer, ExtentsBeginAndEndWhereAsked) {
  SmallBlocks blocks;
  for (const auto& [offset, length] :
       {Piece{1, 1}, Piece{4095, 2}, Piece{0, size}, Piece{7, 9000}}) {
    std::uint64_t told = 0;
    for (const nbd::Extent& extent : blocks->extents(offset, length)) told += extent.length;
    EXPECT_EQ(told, length);
  }
}

// Lanes on threads of their own change neighbouring bytes of the same blocks: no change is lost.
TEST(BlocksizeLayer, LanesDoNotUndoEachOther) {
  constexpr unsigned lanes = 4;
  constexpr std::uint64_t chunk = 64;
  SmallBlocks blocks;
  std::vector<std::thread> threads;
  for (unsigned lane = 0; lane < lanes; ++lane) {
    threads.emplace_back([&blocks, lane] {
      BackendUser user(blocks.backend());
      std::vector<std::byte> buffer(chunk);
      for (std::uint64_t at = lane * chunk; at < 16 * 4096; at += lanes * chunk) {
        fill_pattern(buffer, lane + 2, at);
        EXPECT_EQ(user.write(at, buffer), 0);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (std::uint64_t at = 0; at < 16 * 4096; at += chunk) {
    const unsigned lane = at / chunk % lanes;
    ASSERT_TRUE(matches_pattern(blocks.bytes().subspan(at, chunk), lane + 2, at)) << at;
  }
}

// Against a plain array: any request, any blocks.
TEST(BlocksizeLayer, IsLikeAnArray) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    SCOPED_TRACE(seed);
    Random random(seed);
    SmallBlocks blocks(512U << random.below(8));
    std::vector<std::byte> model(blocks.bytes().begin(), blocks.bytes().end());
    for (unsigned i = 0; i < 200; ++i) {
      const std::uint64_t length = 1 + random.below(random.below(2) == 0 ? 1000 : 200'000);
      const std::uint64_t offset = random.below(size - length);
      const auto place = std::span(model).subspan(offset, length);
      std::vector<std::byte> buffer(length);
      const auto what = random.below(3);
      if (what == 0) {
        ASSERT_EQ(blocks->read(offset, buffer), 0);
        ASSERT_TRUE(std::equal(buffer.begin(), buffer.end(), place.begin())) << i;
      } else if (what == 1) {
        fill_pattern(place, i + 2, offset);
        ASSERT_EQ(blocks->write(offset, place), 0);
      } else {
        fill_pattern(place, 0, offset);
        ASSERT_EQ(blocks->write_zeroes(offset, length), 0);
      }
    }
    EXPECT_TRUE(std::equal(model.begin(), model.end(), blocks.bytes().begin()));
  }
}

TEST(BlocksizeLayer, AllRequestsOfALaneFindABuffer) {
  SmallBlocks blocks;
  LaneFixture fixture(blocks.backend(), LaneOptions());
  ASSERT_EQ(fixture.wait_serving(), LaneState::serving);
  const auto data = pattern(2, 0, 100);
  for (unsigned i = 0; i < 64; ++i) {
    fixture.client().send(make_request(nbd::cmd_write, i * 100, 100), data);
  }
  for (unsigned i = 0; i < 64; ++i) EXPECT_EQ(fixture.client().reply().error, 0U);
  fixture.client().close();
  fixture.end();
  for (unsigned i = 0; i < 64; ++i) {
    EXPECT_TRUE(matches_pattern(blocks.bytes().subspan(i * 100, 100), 2, 0));
  }
}

}  // namespace
}  // namespace nbdring
