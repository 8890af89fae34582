// Requests against servers of every ability. The server checks that it is asked only what it said
// it takes; an image in memory says what must be there.
#include "backends/nbd/shape.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/connected.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

using server_side::Chunks;

constexpr std::uint64_t size = 4 * 1024 * 1024;
constexpr std::uint16_t all_flags = nbd::flag_has_flags | nbd::flag_send_flush |
                                    nbd::flag_send_fua | nbd::flag_send_trim |
                                    nbd::flag_send_write_zeroes | nbd::flag_send_fast_zero;

struct StrictServer {
  Export about;
  TransmissionOptions transmission{true, true};
  std::uint64_t range_max = UINT64_MAX;    // of TRIM and WRITE_ZEROES, else EINVAL
  std::uint64_t broken_from = UINT64_MAX;  // EIO for what reaches here
  std::vector<std::byte> image = std::vector<std::byte>(size);
  std::vector<SeenRequest> seen;
  std::size_t unflushed = 0;

  void serve(ServerEnd& server) {
    for (SeenRequest request = server.request(); request.command != nbd::cmd_disc;
         request = server.request()) {
      Chunks chunks;
      chunks.extended = transmission.extended_headers;
      chunks.offset = request.offset;
      const std::uint32_t error = carry_out(request);
      request.payload.clear();
      seen.push_back(request);  // before the reply: after it the test looks
      if (error != 0) {
        server.send(chunks.error(request.cookie, error));
      } else if (request.command == nbd::cmd_read) {
        const auto begin = image.begin() + static_cast<std::ptrdiff_t>(request.offset);
        server.send(chunks.data(request.cookie, request.offset,
                                Bytes(begin, begin + static_cast<std::ptrdiff_t>(request.length))));
      } else if (request.command == nbd::cmd_block_status) {
        server.send(chunks.status(request.cookie, test_context,
                                  {{request.length / 2, 3}, {request.length, 0}}));
      } else {
        server.send(chunks.none(request.cookie));
      }
    }
  }

  std::uint32_t carry_out(const SeenRequest& request) {
    const bool is_flush = request.command == nbd::cmd_flush;
    const bool has_payload = request.command == nbd::cmd_read || request.command == nbd::cmd_write;
    EXPECT_TRUE(is_flush || request.length > 0);
    EXPECT_EQ(request.offset % about.block_size.minimum, 0U);
    EXPECT_EQ(request.length % about.block_size.minimum, 0U);
    EXPECT_LE(request.offset + request.length, about.size);
    EXPECT_TRUE(!has_payload || request.length <= about.block_size.maximum);
    EXPECT_TRUE((request.flags & nbd::cmd_flag_fua) == 0 || about.has(nbd::flag_send_fua));
    if (request.offset + request.length > broken_from) return nbd::eio;
    const auto begin = image.begin() + static_cast<std::ptrdiff_t>(request.offset);
    switch (request.command) {
      case nbd::cmd_flush:
        EXPECT_TRUE(about.has(nbd::flag_send_flush));
        unflushed = 0;
        return 0;
      case nbd::cmd_write:
        ++unflushed;
        std::copy(request.payload.begin(), request.payload.end(), begin);
        return 0;
      case nbd::cmd_trim:
        EXPECT_TRUE(about.has(nbd::flag_send_trim));
        return request.length > range_max ? nbd::einval : 0;
      case nbd::cmd_write_zeroes:
        EXPECT_TRUE(about.has(nbd::flag_send_write_zeroes));
        if (request.length > range_max) return nbd::einval;
        std::fill_n(begin, request.length, std::byte{0});
        return 0;
      default:
        return 0;
    }
  }

  std::size_t count(std::uint16_t command) const {
    std::size_t found = 0;
    for (const SeenRequest& request : seen) found += request.command == command ? 1 : 0;
    return found;
  }
};

using Body = std::function<Task<void>(Shape&)>;

Export strict_export(BlockSizeConstraints block_size, std::uint16_t flags = all_flags) {
  Export about;
  about.size = size;
  about.transmission_flags = flags;
  about.block_size = block_size;
  return about;
}

void run(StrictServer& strict, const Body& body) {
  Connected connected;
  connected.transmission = strict.transmission;
  connected.size = strict.about.size;
  connected.flags = strict.about.transmission_flags;
  connected.block_size = strict.about.block_size;
  connected.run([&](ServerEnd& server) { strict.serve(server); },
                [&](Connection& connection) -> Task<void> {
                  Shape shape(*connected.loop, connection);
                  co_await body(shape);
                });
  EXPECT_EQ(connected.lost_reason, "");
  EXPECT_EQ(connected.frame_fallbacks, 0U);
}

void expect_ok(const Answer& answer) {
  EXPECT_FALSE(answer.is_lost);
  EXPECT_TRUE(answer.status.is_ok()) << answer.status.error();
}

// Random requests, one after the other, in multiples of what is presented.
Task<void> random_requests(Shape& shape, std::vector<std::byte>& model, std::uint64_t granule,
                           std::uint64_t seed) {
  Random random(seed);
  Bytes buffer(1 << 20);
  for (std::uint64_t i = 1; i <= 60; ++i) {
    const std::uint64_t granules = size / granule;
    const std::uint64_t first = random.below(granules);
    const std::uint64_t limit = std::min(granules - first, buffer.size() / granule);
    const std::uint64_t count =
        1 + random.below(random.percent(50) ? std::min<std::uint64_t>(limit, 8) : limit);
    const std::uint64_t offset = first * granule;
    const std::uint64_t length = count * granule;
    const auto part = std::span(buffer).first(length);
    const auto place = std::span(model).subspan(offset, length);
    ZeroMode mode;
    mode.fua = random.percent(20);
    Answer answer;
    switch (random.below(4)) {
      case 0:
        answer = co_await shape.read(offset, part);
        EXPECT_TRUE(std::equal(part.begin(), part.end(), place.begin())) << offset << "+" << length;
        break;
      case 1:
        answer = co_await shape.write_zeroes(offset, length, mode);
        std::fill(place.begin(), place.end(), std::byte{0});
        break;
      case 2:
        answer = co_await shape.trim(offset, length, mode.fua);
        break;
      default:
        fill_pattern(part, i, offset);
        std::copy(part.begin(), part.end(), place.begin());
        answer = co_await shape.write(offset, part, mode.fua);
        break;
    }
    expect_ok(answer);
  }
}

TEST(Shape, IsRightForServersOfEveryAbility) {
  const std::vector<BlockSizeConstraints> blocks{{1, 512, 4096},
                                                 {512, 4096, 65536},
                                                 {4096, 4096, 1 << 20},
                                                 {8192, 8192, 8192},
                                                 {65536, 65536, 131072}};
  std::uint64_t seed = 1;
  for (const BlockSizeConstraints& block_size : blocks) {
    for (const std::uint16_t lacks :
         {0, +nbd::flag_send_fua, +nbd::flag_send_flush, +nbd::flag_send_trim,
          nbd::flag_send_write_zeroes | nbd::flag_send_fast_zero,
          all_flags & ~nbd::flag_has_flags}) {
      for (const std::uint64_t range_max : {UINT64_MAX, std::uint64_t{131072}}) {
        StrictServer strict;
        strict.about = strict_export(block_size, all_flags & ~lacks);
        strict.transmission.extended_headers = seed % 2 == 0;
        strict.range_max = std::max<std::uint64_t>(range_max, block_size.maximum);
        std::vector<std::byte> model(size);
        const std::uint64_t granule = std::min(block_size.minimum, presented_minimum_max);
        run(strict, [&](Shape& shape) -> Task<void> {
          co_await random_requests(shape, model, std::max<std::uint64_t>(granule, 512), ++seed);
        });
        EXPECT_TRUE(model == strict.image) << block_size.minimum << " lacks " << lacks;
      }
    }
  }
}

// Each task owns every eighth granule, so that many tasks change parts of one block at once.
Task<void> change_own(Shape& shape, std::uint64_t task, std::vector<std::byte>& model) {
  Random random(task);
  Bytes buffer(4096);
  for (std::uint64_t i = 0; i < 60; ++i) {
    const std::uint64_t offset = (random.below(16) * 8 + task) * 4096;
    fill_pattern(buffer, i * 8 + task + 1, offset);
    std::copy(buffer.begin(), buffer.end(), model.begin() + static_cast<std::ptrdiff_t>(offset));
    const Answer answer = co_await shape.write(offset, buffer, false);
    expect_ok(answer);
  }
}

TEST(Shape, PartsOfOneBlockMayBeChangedAtOnce) {
  StrictServer strict;
  strict.about = strict_export({65536, 65536, 1 << 20});
  std::vector<std::byte> model(size);
  run(strict, [&](Shape& shape) -> Task<void> {
    Scope scope(shape.frames());
    for (std::uint64_t task = 0; task < 8; ++task) scope.spawn(change_own(shape, task, model));
    co_await scope.join();
  });
  EXPECT_TRUE(model == strict.image);
}

TEST(Shape, WholeBlocksWaitForTheirPartsToo) {
  StrictServer strict;
  strict.about = strict_export({65536, 65536, 1 << 20});
  const Bytes whole = pattern(1, 0, 65536);
  const Bytes part = pattern(2, 4096, 4096);
  run(strict, [&](Shape& shape) -> Task<void> {
    Scope scope(shape.frames());
    std::vector<Answer> answers(2);
    const auto keep = [](Shape&, Task<Answer> task, Answer& answer) -> Task<void> {
      const Answer got = co_await task;
      answer = got;
    };
    scope.spawn(keep(shape, shape.write(4096, part, false), answers[0]));
    scope.spawn(keep(shape, shape.write(0, whole, false), answers[1]));
    co_await scope.join();
    for (const Answer& answer : answers) expect_ok(answer);
  });
  EXPECT_TRUE(std::equal(whole.begin(), whole.end(), strict.image.begin()))
      << "the later one, as a whole";
}

TEST(Shape, FuaWithoutItsFlagIsAFlush) {
  StrictServer strict;
  strict.about = strict_export({512, 4096, 65536}, all_flags & ~nbd::flag_send_fua);
  run(strict, [&](Shape& shape) -> Task<void> {
    const Bytes payload(200'704);
    const Answer answer = co_await shape.write(0, payload, true);
    expect_ok(answer);
    EXPECT_EQ(strict.unflushed, 0U);
    EXPECT_EQ(strict.count(nbd::cmd_write), 4U);
    EXPECT_EQ(strict.count(nbd::cmd_flush), 1U);
  });
}

TEST(Shape, RangesThatAreTooLongAreSentInPiecesFromThenOn) {
  StrictServer strict;
  strict.about = strict_export({512, 4096, 1 << 20});
  strict.range_max = 1 << 20;
  run(strict, [&](Shape& shape) -> Task<void> {
    Answer answer = co_await shape.trim(0, 4 << 20, false);
    expect_ok(answer);
    EXPECT_EQ(strict.count(nbd::cmd_trim), 1U + 4);
    answer = co_await shape.trim(0, 4 << 20, false);
    expect_ok(answer);
    EXPECT_EQ(strict.count(nbd::cmd_trim), 1U + 4 + 4) << "it has learnt";
  });
}

TEST(Shape, FastZeroIsNeverSlow) {
  for (const bool has : {false, true}) {
    StrictServer strict;
    strict.about = strict_export({65536, 65536, 1 << 20},
                                 has ? all_flags : all_flags & ~nbd::flag_send_fast_zero);
    run(strict, [&](Shape& shape) -> Task<void> {
      ZeroMode mode;
      mode.fast_zero = true;
      Answer answer = co_await shape.write_zeroes(4096, 4096, mode);
      EXPECT_EQ(answer.status.error(), ENOTSUP) << "a part of a block";
      answer = co_await shape.write_zeroes(65536, 65536, mode);
      EXPECT_EQ(answer.status.error(), has ? 0 : ENOTSUP);
      EXPECT_EQ(strict.count(nbd::cmd_write), 0U);
    });
  }
}

TEST(Shape, TheFirstErrorOfAPieceIsTheAnswer) {
  StrictServer strict;
  strict.about = strict_export({512, 4096, 65536});
  strict.broken_from = 1 << 20;
  run(strict, [&](Shape& shape) -> Task<void> {
    Bytes buffer(4 << 20);
    const Answer answer = co_await shape.read(0, buffer);
    EXPECT_FALSE(answer.is_lost);
    EXPECT_EQ(answer.status.error(), EIO);
    EXPECT_LT(strict.count(nbd::cmd_read), 30U) << "no further pieces are sent";
  });
}

TEST(Shape, ALostPieceLosesTheWhole) {
  Connected connected;
  connected.block_size = {512, 4096, 65536};
  const auto script = [](ServerEnd& server) {
    const SeenRequest first = server.request();
    server.send(server_side::simple_reply(first.cookie));
    server.request();
  };
  connected.run(script, [&](Connection& connection) -> Task<void> {
    Shape shape(*connected.loop, connection);
    const Bytes payload(1 << 20);
    const Answer answer = co_await shape.write(0, payload, false);
    EXPECT_TRUE(answer.is_lost);
  });
}

TEST(Shape, ExtentsOfWholeAndPartBlocks) {
  for (const std::uint32_t minimum : {512U, 65536U}) {
    for (const bool status : {false, true}) {
      StrictServer strict;
      strict.about = strict_export({minimum, 65536, 1 << 20});
      strict.transmission.base_allocation = status;
      run(strict, [&](Shape& shape) -> Task<void> {
        std::array<nbd::Extent, 8> room{};
        ExtentList list{room, 0};
        const Answer answer = co_await shape.extents(8192, 262'144, list);
        expect_ok(answer);
        EXPECT_GE(list.used, 1U);
        std::uint64_t length = 0;
        for (std::size_t i = 0; i < list.used; ++i) {
          EXPECT_GT(room[i].length, 0U);
          length += room[i].length;
        }
        EXPECT_EQ(length, 262'144U);
        EXPECT_EQ(room[0].flags, status ? 3U : 0U);
      });
      EXPECT_EQ(strict.count(nbd::cmd_block_status), status ? 1U : 0U);
    }
  }
}

}  // namespace
}  // namespace nbdring
