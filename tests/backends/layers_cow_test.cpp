#include "backends/layers/cow.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <list>
#include <thread>

#include "backends/memory.hpp"
#include "tests/support/backend_user.hpp"
#include "tests/support/borrowed_backend.hpp"
#include "tests/support/faulty_backend.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/gated_backend.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t block = 64 * 1024;
constexpr std::uint64_t size = 10 * block + 5000;  // the last block is a short one

class CowTest : public testing::Test {
 protected:
  CowTest() { fill_pattern(base_.bytes(), 1, 0); }
  ~CowTest() override {
    // What is below is never written, whatever was done above.
    EXPECT_TRUE(matches_pattern(base_.bytes(), 1, 0));
  }

  std::unique_ptr<Backend> cow(const std::string& path = {}) {
    return copy_on_write(std::make_unique<BorrowedBackend>(base_), {path}, log_.log());
  }
  static std::vector<std::byte> all(BackendUser& user) {
    std::vector<std::byte> bytes(size);
    EXPECT_EQ(user.read(0, bytes), 0);
    return bytes;
  }

  MemoryBackend base_{size, true};
  CapturedLog log_;
  TemporaryFile overlay_{0};
};

TEST_F(CowTest, MakesAReadOnlyBaseWritable) {
  const auto backend = cow();
  EXPECT_FALSE(backend->about().is_read_only());
  EXPECT_TRUE(backend->about().has(nbd::flag_can_multi_conn));
  EXPECT_EQ(broken_rule(backend->about()), nullptr);
  EXPECT_EQ(backend->about().size, size);
}

TEST_F(CowTest, KeepsWritesOfAnyPlaceAndLengthAndNothingBesideThem) {
  for (const std::uint64_t offset : {0UL, 1UL, block - 1, block, block + 7, 9 * block, size - 1}) {
    for (const std::uint64_t length : {1UL, 4096UL, block, block + 1, 3 * block, 5000UL}) {
      if (offset + length > size) continue;
      const auto backend = cow();
      BackendUser user(*backend);
      auto wanted = pattern(1, 0, size);
      const auto data = pattern(2, offset, length);
      std::copy(data.begin(), data.end(), wanted.begin() + static_cast<std::ptrdiff_t>(offset));
      EXPECT_EQ(user.write(offset, data), 0);
      EXPECT_EQ(all(user), wanted) << offset << " " << length;
    }
  }
}

TEST_F(CowTest, ZeroesAnyRangeAndNothingBesideIt) {
  for (const std::uint64_t offset : {0UL, 1UL, block, block + 7, 9 * block, size - 1}) {
    for (const std::uint64_t length : {1UL, block, block + 1, 3 * block, 5000UL}) {
      if (offset + length > size) continue;
      for (const bool no_hole : {false, true}) {
        const auto backend = cow();
        BackendUser user(*backend);
        ZeroMode mode;
        mode.no_hole = no_hole;
        auto wanted = pattern(1, 0, size);
        std::fill_n(wanted.begin() + static_cast<std::ptrdiff_t>(offset), length, std::byte{0});
        EXPECT_EQ(user.write_zeroes(offset, length, mode), 0);
        EXPECT_EQ(all(user), wanted) << offset << " " << length;
      }
    }
  }
}

TEST_F(CowTest, TrimsWholeBlocksOnly) {
  const auto backend = cow();
  BackendUser user(*backend);
  EXPECT_EQ(user.trim(1, 2 * block), 0);             // block 1
  EXPECT_EQ(user.trim(9 * block, block + 5000), 0);  // up to the short end
  auto wanted = pattern(1, 0, size);
  std::fill_n(wanted.begin() + block, block, std::byte{0});
  std::fill_n(wanted.begin() + 9 * block, block + 5000, std::byte{0});
  EXPECT_EQ(all(user), wanted);
}

TEST_F(CowTest, FastZeroDoesNotCopy) {
  const auto backend = cow();
  BackendUser user(*backend);
  ZeroMode mode;
  mode.fast_zero = true;
  EXPECT_EQ(user.write_zeroes(100, block, mode), ENOTSUP);
  EXPECT_EQ(user.write_zeroes(block, block, mode), 0);
  EXPECT_EQ(user.write_zeroes(block + 100, 100, mode), 0);
}

TEST_F(CowTest, TellsHolesOfTheOverlayAndDataBelow) {
  const auto backend = cow();
  BackendUser user(*backend);
  EXPECT_EQ(user.write_zeroes(2 * block, 2 * block), 0);
  EXPECT_EQ(user.write(5 * block, pattern(2, 0, block)), 0);
  const auto extents = user.extents(100, size - 100);
  std::vector<std::pair<std::uint64_t, std::uint32_t>> found;
  std::uint64_t covered = 100;
  for (const auto& extent : extents) {
    found.emplace_back(extent.length, extent.flags);
    covered += extent.length;
  }
  EXPECT_EQ(covered, size);
  ASSERT_GE(found.size(), 3U);
  EXPECT_EQ(found[0], std::pair(2 * block - 100, std::uint32_t{0}));
  EXPECT_EQ(found[1], std::pair(2 * block, std::uint32_t{nbd::extent_hole | nbd::extent_zero}));
  for (std::size_t i = 2; i < found.size(); ++i) EXPECT_EQ(found[i].second, 0U);
  EXPECT_EQ(user.extents(100, size - 100, 1).size(), 1U);
}

TEST_F(CowTest, AnOverlayWithANameIsFoundAgain) {
  {
    const auto backend = cow(overlay_.path());
    BackendUser user(*backend);
    EXPECT_EQ(user.write(block + 10, pattern(2, block + 10, 100)), 0);
    EXPECT_EQ(user.write_zeroes(4 * block, block), 0);
    EXPECT_EQ(user.flush(), 0);
  }
  const auto backend = cow(overlay_.path());
  BackendUser user(*backend);
  auto wanted = pattern(1, 0, size);
  fill_pattern(std::span(wanted).subspan(block + 10, 100), 2, block + 10);
  std::fill_n(wanted.begin() + 4 * block, block, std::byte{0});
  EXPECT_EQ(all(user), wanted);
}

TEST_F(CowTest, FuaIsKeptWithoutAFlush) {
  ZeroMode zero_fua;
  zero_fua.fua = true;
  {
    const auto backend = cow(overlay_.path());
    BackendUser user(*backend);
    EXPECT_EQ(user.write(10, pattern(2, 10, 100), true), 0);
    EXPECT_EQ(user.write(20, pattern(3, 20, 10), true), 0);  // the block is saved already
    EXPECT_EQ(user.write_zeroes(3 * block, 100, zero_fua), 0);
    EXPECT_EQ(user.trim(5 * block, block, true), 0);
    EXPECT_EQ(user.write(7 * block, pattern(4, 0, 10)), 0);  // not flushed: may be lost, and is
  }
  const auto backend = cow(overlay_.path());
  BackendUser user(*backend);
  auto wanted = pattern(1, 0, size);
  fill_pattern(std::span(wanted).subspan(10, 100), 2, 10);
  fill_pattern(std::span(wanted).subspan(20, 10), 3, 20);
  std::fill_n(wanted.begin() + 3 * block, 100, std::byte{0});
  std::fill_n(wanted.begin() + 5 * block, block, std::byte{0});
  EXPECT_EQ(all(user), wanted);
}

TEST_F(CowTest, RefusesAnOverlayThatIsNotOfThisBase) {
  cow(overlay_.path());
  const auto refusal = [&](std::uint64_t bytes, std::uint64_t number) {
    auto other = std::make_unique<MemoryBackend>(bytes);
    fill_pattern(other->bytes(), number, 0);
    try {
      copy_on_write(std::move(other), {overlay_.path()}, log_.log());
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::usage);
      return std::string(failure.what());
    }
    return std::string();
  };
  EXPECT_EQ(refusal(size, 1), "");
  EXPECT_THAT(refusal(size + 1, 1), testing::HasSubstr("belongs to a base of 660360 bytes"));
  EXPECT_THAT(refusal(size, 2), testing::HasSubstr("belongs to another base"));
  overlay_.write(20, pattern(9, 0, 4));
  EXPECT_THAT(refusal(size, 1), testing::HasSubstr("is a file, but not an overlay"));
}

TEST_F(CowTest, AnOverlayInUseIsBusyAndOneHalfMadeIsMade) {
  {
    const auto holder = cow(overlay_.path());
    try {
      cow(overlay_.path());
      ADD_FAILURE() << "it was opened twice";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::busy);
    }
  }
  overlay_.truncate(4096);  // the power failed before the file had its size
  const auto backend = cow(overlay_.path());
  BackendUser user(*backend);
  EXPECT_EQ(all(user), pattern(1, 0, size));
}

TEST_F(CowTest, ErrorsFromBelowReachTheClientAndChangeNothing) {
  Random random(1);
  FaultyBackend faulty(base_.about(), random, FaultOptions());
  faulty.fill(base_.bytes());
  const auto backend = copy_on_write(std::make_unique<BorrowedBackend>(faulty), {}, log_.log());
  BackendUser user(*backend);
  FaultOptions errors;
  errors.error_percent = 100;
  faulty.set_options(errors);
  EXPECT_NE(user.write(10, pattern(2, 0, 10)), 0);  // cannot copy the rest
  EXPECT_EQ(user.write(block, pattern(2, block, block)), 0);
  std::vector<std::byte> back(block);
  EXPECT_NE(user.read(0, back), 0);
  EXPECT_EQ(user.read(block, back), 0);
  EXPECT_EQ(back, pattern(2, block, block));
  faulty.set_options(FaultOptions());
  EXPECT_EQ(user.read(0, back), 0);
  EXPECT_EQ(back, pattern(1, 0, block));
}

// Two lanes write two parts of one block for the first time, and the copy of both is delayed.
TEST_F(CowTest, FirstWritesOfOneBlockWaitForEachOther) {
  GatedBackend gated(base_);
  const auto backend = copy_on_write(std::make_unique<BorrowedBackend>(gated), {}, log_.log());
  std::list<LaneFixture> lanes;
  for (int i = 0; i < 3; ++i) lanes.emplace_back(*backend, small_lane());
  std::uint64_t at = 1000;
  for (auto& lane : lanes) {
    lane.client().send(make_request(nbd::cmd_write, at, 100), pattern(2, at, 100));
    at += 1000;
  }
  ASSERT_TRUE(eventually([&] { return gated.arrived() == 1; }));
  gated.open_gate();
  for (auto& lane : lanes) EXPECT_EQ(lane.client().reply().error, 0U);
  auto wanted = pattern(1, 0, block);
  for (at = 1000; at < 4000; at += 1000) {
    fill_pattern(std::span(wanted).subspan(at, 100), 2, at);
  }
  const auto reply = lanes.front().client().call(make_request(nbd::cmd_read, 0, block));
  EXPECT_EQ(reply.data, wanted);
  for (auto& lane : lanes) lane.client().close();
  for (auto& lane : lanes) EXPECT_TRUE(lane.end().is_orderly);
}

// Each thread owns the bytes of its own residue (mod 4, in pieces of 512 bytes), so that every
// block is everybody's, and knows what they must be.
void change_own_pieces(Backend& backend, std::uint64_t seed, std::uint64_t own,
                       std::span<std::byte> model) {
  constexpr std::uint64_t piece = 512;
  Random random(seed + own);
  BackendUser user(backend);
  for (int i = 0; i < 400; ++i) {
    const std::uint64_t pieces = size / piece / 4;
    const std::uint64_t at = (random.below(pieces) * 4 + own) * piece;
    const auto model_piece = model.subspan(at, piece);
    if (random.percent(20)) {
      std::vector<std::byte> back(piece);
      EXPECT_EQ(user.read(at, back), 0);
      EXPECT_TRUE(std::equal(back.begin(), back.end(), model_piece.begin())) << "seed " << seed;
    } else if (random.percent(30)) {
      EXPECT_EQ(user.write_zeroes(at, piece), 0);
      std::fill(model_piece.begin(), model_piece.end(), std::byte{0});
    } else {
      fill_pattern(model_piece, random.next(), at);
      EXPECT_EQ(user.write(at, model_piece, random.percent(5)), 0);
    }
    if (!random.percent(3)) continue;
    EXPECT_EQ(user.flush(), 0);
  }
  EXPECT_EQ(user.flush(), 0);
}

TEST_F(CowTest, ManyLanesAgreeWithAModel) {
  for (std::uint64_t seed = 100; seed < 110; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    overlay_.truncate(0);
    auto model = pattern(1, 0, size);
    {
      const auto backend = cow(overlay_.path());
      std::vector<std::thread> threads;
      for (std::uint64_t own = 0; own < 4; ++own) {
        threads.emplace_back([&, own] { change_own_pieces(*backend, seed, own, model); });
      }
      for (auto& thread : threads) thread.join();
      BackendUser user(*backend);
      EXPECT_EQ(all(user), model);
    }
    const auto backend = cow(overlay_.path());
    BackendUser user(*backend);
    EXPECT_EQ(all(user), model);
  }
}

// The worst crash: of the data only what was flushed is there, of the map all that was written. It
// shows exactly what was flushed.
TEST_F(CowTest, TheMapNeverRunsAheadOfTheData) {
  constexpr std::uint64_t seed = 7;
  SCOPED_TRACE("seed " + std::to_string(seed));
  struct Crash {
    std::vector<std::byte> map, data;  // of the file
    std::vector<std::byte> wanted;
  };
  std::vector<Crash> crashes;
  Random random(seed);
  {
    const auto backend = cow(overlay_.path());
    BackendUser user(*backend);
    auto model = pattern(1, 0, size);
    auto flushed = model;
    auto stable = overlay_.read(block, size);
    for (std::uint64_t number = 2; number < 60; ++number) {
      const std::uint64_t at = random.below(size - 4096);
      const auto bytes = pattern(number, at, random.between(1, std::min(size - at, 2 * block)));
      EXPECT_EQ(user.write(at, bytes), 0);
      std::copy(bytes.begin(), bytes.end(), model.begin() + static_cast<std::ptrdiff_t>(at));
      if (random.percent(30)) {
        EXPECT_EQ(user.flush(), 0);
        flushed = model;
        stable = overlay_.read(block, size);
      }
      crashes.push_back({overlay_.read(0, block), stable, flushed});
    }
  }
  for (const Crash& crash : crashes) {
    overlay_.write(0, crash.map);
    overlay_.write(block, crash.data);
    const auto backend = cow(overlay_.path());
    BackendUser user(*backend);
    EXPECT_EQ(all(user), crash.wanted);
  }
}

}  // namespace
}  // namespace nbdring
