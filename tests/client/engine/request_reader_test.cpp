#include "client/engine/request_reader.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

#include "tests/support/client_side.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/one_way_stream.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint32_t payload_bytes = 100;

// What a lane would do with a stream of WRITEs, waiting left out: the payloads in their order.
std::vector<std::byte> read_writes(RequestReader& reader, std::size_t requests) {
  std::vector<std::byte> payloads;
  while (requests > 0) {
    if (!reader.has_header()) {
      EXPECT_NE(reader.receive({}).result, 0) << "the stream ended too early";
      continue;
    }
    const nbd::RequestHeader header = reader.take_header();
    EXPECT_EQ(header.magic, nbd::request_magic);
    std::vector<std::byte> payload(header.length);
    std::size_t have = reader.take(payload);
    while (have < payload.size()) {
      const auto received = reader.receive(std::span(payload).subspan(have));
      if (received.result > 0) have += received.payload_bytes;
    }
    payloads.insert(payloads.end(), payload.begin(), payload.end());
    --requests;
  }
  return payloads;
}

struct Written {
  std::vector<std::byte> wire, payloads;
};

Written three_writes(std::uint32_t length) {
  ClientSide client(false);
  Written written;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    ClientRequest request = make_request(nbd::cmd_write, 0, length);
    request.cookie = i;
    const auto payload = pattern(i, 0, length);
    const auto wire = client.encode(request, payload);
    written.wire.insert(written.wire.end(), wire.begin(), wire.end());
    written.payloads.insert(written.payloads.end(), payload.begin(), payload.end());
  }
  return written;
}

TEST(RequestReader, PutsTogetherWhatWasCutAnywhere) {
  const Written written = three_writes(payload_bytes);
  for (std::size_t cut = 1; cut < written.wire.size(); ++cut) {
    OneWayStream stream;
    stream.incoming.assign(written.wire.begin(),
                           written.wire.begin() + static_cast<std::ptrdiff_t>(cut));
    RequestReader reader(stream);
    // The first receive finds only what is before the cut.
    EXPECT_EQ(reader.receive({}).result, static_cast<ssize_t>(cut));
    EXPECT_EQ(reader.receive({}).result, -EAGAIN);
    stream.incoming = written.wire;
    EXPECT_EQ(read_writes(reader, 3), written.payloads) << "cut at " << cut;
    EXPECT_EQ(reader.available(), 0U);
  }
}

TEST(RequestReader, PutsTogetherPiecesOfEveryLength) {
  const Written written = three_writes(payload_bytes);
  for (std::size_t piece = 1; piece < 200; ++piece) {
    OneWayStream stream;
    stream.incoming = written.wire;
    stream.piece = piece;
    RequestReader reader(stream);
    EXPECT_EQ(read_writes(reader, 3), written.payloads) << "pieces of " << piece;
  }
}

TEST(RequestReader, ReceivesLargePayloadsStraightIntoTheirPlace) {
  const Written written = three_writes(256 * 1024);
  for (const std::size_t piece : {std::size_t{1000}, std::size_t{32768}, SIZE_MAX}) {
    OneWayStream stream;
    stream.incoming = written.wire;
    stream.piece = piece;
    RequestReader reader(stream);
    EXPECT_EQ(read_writes(reader, 3), written.payloads) << "pieces of " << piece;
  }
}

TEST(RequestReader, DropsWhatNobodyWants) {
  const Written written = three_writes(payload_bytes);
  OneWayStream stream;
  stream.incoming = written.wire;
  RequestReader reader(stream);
  reader.receive({});
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(reader.has_header());
    EXPECT_EQ(reader.take_header().magic, nbd::request_magic);
    EXPECT_EQ(reader.drop(payload_bytes), payload_bytes);
  }
  EXPECT_EQ(reader.drop(1), 0U);
}

TEST(RequestReader, PassesTheStreamsEndAndErrorsOn) {
  OneWayStream stream;
  stream.errors = {ECONNRESET};
  stream.is_over = true;
  RequestReader reader(stream);
  EXPECT_EQ(reader.receive({}).result, -ECONNRESET);
  EXPECT_EQ(reader.receive({}).result, 0);
}

}  // namespace
}  // namespace nbdring
