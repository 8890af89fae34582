// What a gateway is configured to do: [gateway], and jsnbd's config.json.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/config.hpp"
#include "cli/config_jsnbd.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

TEST(GatewayConfig, TakesEveryKey) {
  const Config config = parse_config(R"(
[gateway]
listen = ["127.0.0.1:8080", "[::1]:0"]
tls-certificates = "/pki"
tls-psk-file = "/keys"
tls-verify-peer = true
insecure = true
tokens = "/tokens"
origins = ["https://a.example"]
state-dir = "/hooks"
hook-timeout = 7
[gateway.configurations.cd]
paths = ["/vm/0/0/", "/cd"]
device = "/dev/nbd3"
read-only = true
size-min = 512
size-max = 4096
connections = 2
timeout = 9
grace = 11
default = true
layers = ["readahead", "offset=512"]
users = ["alice"]
metadata = { description = "Virtual CD", ports = [1, 2] }
[gateway.configurations.hd]
socket = "/run/hd.sock"
)",
                                     "f");
  EXPECT_THAT(config.warnings, ElementsAre());
  const GatewaySettings& gateway = config.gateway;
  ASSERT_EQ(gateway.listen.size(), 2U);
  EXPECT_EQ(gateway.listen[1].host, "::1");
  EXPECT_EQ(gateway.tls_certificates, "/pki");
  EXPECT_EQ(gateway.tls_psk_file, "/keys");
  EXPECT_TRUE(gateway.tls_verify_peer && gateway.insecure);
  EXPECT_EQ(gateway.tokens, "/tokens");
  EXPECT_THAT(gateway.origins, ElementsAre("https://a.example"));
  EXPECT_EQ(gateway.state_dir, "/hooks");
  EXPECT_EQ(gateway.hook_timeout, seconds(7));
  ASSERT_EQ(gateway.configurations.size(), 2U);
  const GatewayConfiguration& cd = *find_configuration(gateway.configurations, "");
  EXPECT_EQ(cd.name, "cd");
  EXPECT_THAT(cd.paths, ElementsAre("/vm/0/0/", "/cd"));
  EXPECT_EQ(cd.index, 3U);
  EXPECT_TRUE(cd.read_only);
  EXPECT_EQ(cd.size_min, 512U);
  EXPECT_EQ(cd.size_max, 4096U);
  EXPECT_EQ(cd.connections, 2U);
  EXPECT_EQ(cd.timeout, seconds(9));
  EXPECT_EQ(cd.grace, seconds(11));
  EXPECT_THAT(cd.users, ElementsAre("alice"));
  EXPECT_EQ(cd.layers, (std::vector<LayerSpec>{{"readahead", ""}, {"offset", "512"}}));
  EXPECT_EQ(metadata_line({cd}), R"({ "cd": { "description": "Virtual CD", "ports": [ 1, 2 ] } })");
  const GatewayConfiguration& hd = *find_configuration(gateway.configurations, "hd");
  EXPECT_EQ(hd.socket, "/run/hd.sock");
  EXPECT_FALSE(hd.index || hd.size_max || hd.connections || hd.read_only || hd.is_default);
  EXPECT_THAT(hd.paths, ElementsAre("/hd"));
}

TEST(GatewayConfig, UnknownKeysAreWarnings) {
  const Config config =
      parse_config("[gateway]\nlisten-on = 1\n[gateway.configurations.a]\nreadonly = true\n", "f");
  EXPECT_THAT(
      config.warnings,
      UnorderedElementsAre("f:2: 'gateway.listen-on' is not known and is ignored",
                           "f:4: 'gateway.configurations.a.readonly' is not known and is ignored"));
}

TEST(GatewayConfig, TheOnlyConfigurationIsTheDefaultOne) {
  const auto one = parse_config("[gateway.configurations.a]\n", "f").gateway.configurations;
  ASSERT_NE(find_configuration(one, ""), nullptr);
  const auto two =
      parse_config("[gateway.configurations.a]\n[gateway.configurations.b]\n", "f").gateway;
  EXPECT_EQ(find_configuration(two.configurations, ""), nullptr);
  EXPECT_NE(find_configuration(two.configurations, "b"), nullptr);
}

struct Wrong {
  const char* text;
  const char* says;
};

void PrintTo(const Wrong& wrong, std::ostream* out) { *out << wrong.text; }

class WrongGatewayConfig : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongGatewayConfig, IsRefusedWithItsPlace) {
  try {
    parse_config(GetParam().text, "f");
    FAIL() << "accepted";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::usage);
    EXPECT_THAT(failure.what(), HasSubstr(GetParam().says));
    EXPECT_THAT(failure.what(), HasSubstr("f:"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Texts, WrongGatewayConfig,
    ::testing::Values(
        Wrong{"[gateway]\nlisten = \"a:1\"", "is not a list of texts"},
        Wrong{"[gateway]\nlisten = [\"nowhere\"]", "HOST:PORT"},
        Wrong{"[gateway]\ninsecure = 1", "is neither true nor false"},
        Wrong{"[gateway]\nhook-timeout = 0", "is not a whole number from 1 to 3600"},
        Wrong{"[gateway]\nstate-dir = \"here\"", "is not an absolute path"},
        Wrong{"[gateway.configurations.\"a/b\"]", "cannot be a configuration's name"},
        Wrong{"[gateway.configurations.\"..\"]", "cannot be a configuration's name"},
        Wrong{"[gateway.configurations.a]\ndevice = \"/dev/sda\"", "is not a device"},
        Wrong{"[gateway.configurations.a]\ndevice = 0", "is not a text"},
        Wrong{"[gateway.configurations.a]\ndevice = \"auto\"\nsocket = \"/s\"", "both"},
        Wrong{"[gateway.configurations.a]\npath = \"a\"", "does not begin with '/'"},
        Wrong{"[gateway.configurations.a]\nconnections = 17", "from 1 to 16"},
        Wrong{"[gateway.configurations.a]\nsize-min = 2\nsize-max = 1", "below its size-min"},
        Wrong{"[gateway.configurations.a]\nlayers = [\"nosuch\"]", "nosuch"},
        Wrong{"[gateway.configurations.a]\nmetadata = \"text\"", "is not a section"},
        Wrong{"[gateway.configurations.a]\ndefault = true\n"
              "[gateway.configurations.b]\ndefault = true",
              "two configurations say they are the default"},
        Wrong{"[gateway.configurations.a]\npath = \"/b\"\n[gateway.configurations.b]", "'/b'"}));

// The sample that jsnbd comes with, in its own form.
constexpr const char* jsnbd_sample = R"({
    "timeout": 20,
    "configurations": {
        "0": { "nbd-device": "/dev/nbd0", "default": true,
               "metadata": { "description": "Virtual media device" } },
        "1": { "nbd-device": "/dev/nbd1" }
    }
})";

std::vector<GatewayConfiguration> parse_json(const std::string& text) {
  std::vector<std::string> warnings;
  auto found = parse_jsnbd_config(text, "j", warnings);
  EXPECT_THAT(warnings, ElementsAre());
  return found;
}

TEST(JsnbdConfig, IsReadAsItIs) {
  const auto found = parse_json(jsnbd_sample);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].index, 0U);
  EXPECT_EQ(found[1].index, 1U);
  EXPECT_EQ(found[0].timeout, seconds(20));
  EXPECT_EQ(find_configuration(found, "")->name, "0");
  EXPECT_EQ(metadata_line(found),
            R"({ "0": { "description": "Virtual media device" }, "1": null })");
}

TEST(JsnbdConfig, MetadataIsPrintedAsJsonCDoes) {
  const auto found = parse_json(R"({"configurations":{"a":{"nbd-device":"nbd0","metadata":)"
                                R"({"u":"http:\/\/x\"","l":[],"o":{},"n":[1,true,null,1.5]}}}})");
  EXPECT_EQ(metadata_line(found),
            R"({ "a": { "u": "http:\/\/x\"", "l": [ ], "o": { }, "n": [ 1, true, null, 1.5 ] } })");
}

TEST(JsnbdConfig, TheOnlyConfigurationIsTheDefaultOne) {
  EXPECT_TRUE(parse_json(R"({"configurations":{"x":{"socket":"/s"}}})")[0].is_default);
}

TEST(JsnbdConfig, UnknownKeysAreWarnings) {
  std::vector<std::string> warnings;
  parse_jsnbd_config(R"({"a":1,"configurations":{"x":{"socket":"/s","b":2}}})", "j", warnings);
  EXPECT_THAT(warnings, ElementsAre("j: configuration 'x': 'b' is not known and is ignored",
                                    "j: 'a' is not known and is ignored"));
}

TEST(JsnbdConfig, WhatIsNoneIsRefused) {
  for (const auto& [text, says] : std::vector<std::pair<std::string, std::string>>{
           {"{", "is not JSON"},
           {"[]", "is not an object"},
           {"{}", "has no 'configurations'"},
           {R"({"configurations":{}})", "has no 'configurations'"},
           {R"({"configurations":{"0":{}}})", "has no 'nbd-device'"},
           {R"({"configurations":{"0":{"nbd-device":7}}})", "is no text"},
           {R"({"configurations":{"0":{"nbd-device":"/dev/sda"}}})", "'/dev/sda'"},
           {R"({"timeout":"30","configurations":{"0":{"nbd-device":"/dev/nbd0"}}})", "'timeout'"},
           {R"({"timeout":0,"configurations":{"0":{"nbd-device":"/dev/nbd0"}}})", "'timeout'"},
           {R"({"configurations":{"0":{"nbd-device":"/dev/nbd0","default":true},)"
            R"("1":{"nbd-device":"/dev/nbd1","default":true}}})",
            "two configurations say they are the default"}}) {
    try {
      parse_json(text);
      FAIL() << text << " was accepted";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::usage) << text;
      EXPECT_THAT(failure.what(), HasSubstr(says));
    }
  }
}

}  // namespace
}  // namespace nbdring
