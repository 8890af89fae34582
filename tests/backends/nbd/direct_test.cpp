#include "backends/nbd/direct.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using ::testing::HasSubstr;

std::string refusal_of(const std::string& backend, const std::vector<LayerSpec>& layers = {},
                       const TlsOptions& tls = {}) {
  try {
    check_direct(parse_backend_spec(backend).form, layers, tls);
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::usage);
    return failure.what();
  }
  return "";
}

Export offered() {
  Export about;
  about.name = "disk";
  about.size = 1 << 20;
  about.transmission_flags |= nbd::flag_send_flush | nbd::flag_send_trim |
                              nbd::flag_send_write_zeroes | nbd::flag_can_multi_conn;
  return about;
}

TEST(Direct, ThePlainRemoteCanBeTheDrivers) {
  for (const char* backend :
       {"nbd://host/export", "nbd://[::1]:1/", "nbd+tcp://host", "nbd+unix:///x?socket=/run/s"}) {
    EXPECT_EQ(refusal_of(backend), "") << backend;
  }
}

TEST(Direct, WhatOnlyTheEngineCanDoIsNamed) {
  EXPECT_THAT(refusal_of("nbds://host"),
              HasSubstr("TLS (nbds:) needs the engine; use --path auto"));
  EXPECT_THAT(refusal_of("nbds+unix:///?socket=/s"), HasSubstr("TLS"));
  EXPECT_THAT(refusal_of("nbd+vsock://2"), HasSubstr("nbd+vsock: needs the engine"));
  EXPECT_THAT(refusal_of("exec:server"), HasSubstr("no NBD server"));
  EXPECT_THAT(refusal_of("/a/file"), HasSubstr("no NBD server"));
  EXPECT_THAT(refusal_of("ws://host/"), HasSubstr("ws: needs the engine"));
  EXPECT_THAT(refusal_of("nbd://host", {LayerSpec{"cow", ""}}), HasSubstr("the layer 'cow'"));
  TlsOptions tls;
  tls.policy = TlsPolicy::allow;
  EXPECT_THAT(refusal_of("nbd://host", {}, tls), HasSubstr("TLS needs the engine"));
}

TEST(Direct, TheDriverIsToldWhatTheServerSaidAndNoMore) {
  Export remote = offered();
  EXPECT_EQ(for_driver(remote, false).transmission_flags, remote.transmission_flags);
  const Export shown = for_driver(remote, true);
  EXPECT_TRUE(shown.is_read_only());
  EXPECT_TRUE(shown.has(nbd::flag_send_flush));
  EXPECT_FALSE(shown.has(nbd::flag_send_trim));
  EXPECT_FALSE(shown.has(nbd::flag_send_write_zeroes));
}

TEST(Direct, BlocksThatTheDriverHasNotGotNeedTheEngine) {
  Export remote = offered();
  remote.block_size.minimum = remote.block_size.preferred = 65536;
  EXPECT_THROW(for_driver(remote, false), Failure);
  remote.block_size.minimum = 4096;
  EXPECT_NO_THROW(for_driver(remote, false));
  remote.block_size = {512, 1024, 2048};
  EXPECT_THROW(for_driver(remote, false), Failure);
}

TEST(Direct, AnotherDiskIsRefused) {
  const Export attached = offered();
  EXPECT_EQ(direct_difference(attached, attached, 4), "");
  Export other = attached;
  other.size /= 2;
  EXPECT_THAT(direct_difference(attached, other, 1), HasSubstr("another disk"));
  other = attached;
  other.transmission_flags &= static_cast<std::uint16_t>(~nbd::flag_can_multi_conn);
  EXPECT_EQ(direct_difference(attached, other, 1), "");
  EXPECT_THAT(direct_difference(attached, other, 2), HasSubstr("one connection only"));
}

}  // namespace
}  // namespace nbdring
