#include "backends/nbd/tls_settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using testing::HasSubstr;

TlsSettings settings(const std::string& uri, const TlsOptions& options = {}) {
  return tls_settings_of(parse_backend_spec(uri).form, options);
}

TlsOptions policy(TlsPolicy value) {
  TlsOptions options;
  options.policy = value;
  return options;
}

TEST(TlsSettings, TheSchemeDemandsOrDoesWithout) {
  EXPECT_EQ(settings("nbd://h/").policy, TlsPolicy::off);
  EXPECT_EQ(settings("nbds://h/").policy, TlsPolicy::require);
  EXPECT_EQ(settings("nbds+unix:///?socket=s&tls-psk-file=k").policy, TlsPolicy::require);
  EXPECT_EQ(settings("nbd://h/", policy(TlsPolicy::allow)).policy, TlsPolicy::allow);
  EXPECT_EQ(settings("nbd://h/", policy(TlsPolicy::require)).policy, TlsPolicy::require);
  EXPECT_EQ(settings("nbds://h/", policy(TlsPolicy::require)).policy, TlsPolicy::require);
  EXPECT_EQ(settings("exec:nbdkit memory 1M").policy, TlsPolicy::off);
  EXPECT_EQ(settings("ws://h/").policy, TlsPolicy::off);
  EXPECT_EQ(settings("wss://h/").policy, TlsPolicy::require);
}

TEST(TlsSettings, EverythingFromTheUri) {
  const auto tls = settings(
      "nbds://alice@h/?tls-certificates=/pki&tls-hostname=n&tls-verify-peer=0&tls-priority=NORMAL"
      "&tls-type=x509");
  EXPECT_EQ(tls.psk_user, "alice");
  EXPECT_EQ(tls.certificates, "/pki");
  EXPECT_EQ(tls.hostname, "n");
  EXPECT_FALSE(tls.verify_peer);
  EXPECT_EQ(tls.priority, "NORMAL");
}

TEST(TlsSettings, EverythingFromOptions) {
  TlsOptions options = policy(TlsPolicy::require);
  options.certificates = "/pki";
  options.hostname = "n";
  options.verify_peer = false;
  options.priority = "NORMAL";
  const auto tls = settings("nbd+unix:///?socket=s", options);
  EXPECT_EQ(tls.certificates, "/pki");
  EXPECT_EQ(tls.hostname, "n");
  EXPECT_FALSE(tls.verify_peer);
  EXPECT_EQ(tls.priority, "NORMAL");
}

TEST(TlsSettings, TheHostIsWhomTheCertificateNames) {
  EXPECT_EQ(settings("nbds://server:10810/").hostname, "server");
  EXPECT_EQ(settings("nbds:///x").hostname, "localhost");
  EXPECT_EQ(settings("nbds://[2001:db8::1]/").hostname, "2001:db8::1");
  EXPECT_EQ(settings("nbds://[fe80::1%25eth0]/").hostname, "fe80::1");
  EXPECT_EQ(settings("nbds://h/?tls-hostname=n").hostname, "n");
  EXPECT_EQ(settings("wss://server:8443/").hostname, "server");
}

TEST(TlsSettings, TheUserOfSshIsNotTheUserOfAKey) {
  TlsOptions options = policy(TlsPolicy::require);
  options.psk_file = "k";
  EXPECT_EQ(settings("nbd+ssh://bob@h/?socket=s", options).psk_user, "");
}

struct Wrong {
  std::string uri;
  TlsOptions options;
  std::string says;
};

TEST(TlsSettings, Contradictions) {
  TlsOptions other_keys = policy(TlsPolicy::require);
  other_keys.psk_file = "other";
  TlsOptions verifies;
  verifies.verify_peer = true;
  const auto require = policy(TlsPolicy::require);
  for (const auto& [uri, options, says] : std::vector<Wrong>{
           {"nbds://h/", policy(TlsPolicy::off), "--tls=off contradicts nbds://"},
           {"nbds+unix:///?socket=s", policy(TlsPolicy::allow), "write nbd+unix://"},
           {"nbd://h/?tls-psk-file=k", {}, "write nbds://, or say --tls=require"},
           {"nbd://h/?tls-verify-peer=0", {}, "parameters for TLS are given"},
           {"ws://h/", require, "ws:// has no TLS; write wss://"},
           {"ws://h/?tls-psk-file=k", {}, "ws: has none; write wss://"},
           {"wss://h/", policy(TlsPolicy::off), "--tls=off contradicts wss://"},
           {"wss://h/", policy(TlsPolicy::allow), "write ws://"},
           {"nbd+ssh://h/?socket=s&tls-hostname=n", {}, "has none; say --tls=require"},
           {"nbds://h/?tls-psk-file=k", other_keys, "--tls-psk-file=other contradicts"},
           {"nbds://h/?tls-verify-peer=0", verifies, "--tls-verify-peer contradicts"},
           {"nbds://h/?tls-verify-peer=maybe", {}, "'maybe' is not 0 or 1"},
           {"nbds://h/?tls-psk-file=k&tls-certificates=d", {}, "one kind of keys"},
           {"nbds://h/?tls-type=psk", {}, "tls-type=psk needs tls-psk-file"},
           {"nbds://h/?tls-type=x509&tls-psk-file=k", {}, "contradicts tls-psk-file"},
           {"nbds://h/?tls-type=anon", {}, "'anon' is not psk or x509"},
           {"nbds+unix:///?socket=s", {}, "say tls-hostname=NAME"},
           {"nbds+vsock://2/", {}, "say tls-hostname=NAME"},
           {"nbd+ssh://h/?socket=s", require, "say tls-hostname=NAME"},
           {"nbd+ext:///?command=c", require, "say tls-hostname=NAME"},
           {"exec:c", require, "say tls-hostname=NAME"}}) {
    try {
      settings(uri, options);
      ADD_FAILURE() << uri << " was accepted";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::usage) << uri;
      EXPECT_THAT(failure.what(), HasSubstr(says)) << uri;
    }
  }
}

TEST(TlsSettings, SingleFilesStandInsteadOfAFolder) {
  TlsOptions options;
  options.authorities_file = "a";
  options.certificate_file = "c";
  options.key_file = "k";
  const TlsSettings taken = settings("nbds://h/", options);
  EXPECT_EQ(taken.authorities_file, "a");
  EXPECT_EQ(taken.certificate_file, "c");
  EXPECT_EQ(taken.key_file, "k");
  TlsOptions no_key;
  no_key.certificate_file = "c";
  for (const auto& [uri, given, says] :
       std::vector<Wrong>{{"nbd://h/", options, "parameters for TLS are given"},
                          {"nbds://h/?tls-certificates=d", options, "single files"},
                          {"nbds://h/?tls-psk-file=p", options, "single files"},
                          {"nbds://h/", no_key, "go together"}}) {
    try {
      settings(uri, given);
      ADD_FAILURE() << uri << " was accepted";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::usage) << uri;
      EXPECT_THAT(failure.what(), HasSubstr(says)) << uri;
    }
  }
}

TEST(TlsSettings, TheSameTwiceIsNoContradiction) {
  TlsOptions options = policy(TlsPolicy::require);
  options.psk_file = "k";
  EXPECT_EQ(settings("nbds://h/?tls-psk-file=k", options).psk_file, "k");
}

TEST(TlsSettings, UnverifiedNeedsNoName) {
  EXPECT_FALSE(settings("nbds+unix:///?socket=s&tls-verify-peer=0").verify_peer);
}

}  // namespace
}  // namespace nbdring
