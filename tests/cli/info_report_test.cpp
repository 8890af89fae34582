#include "cli/info_report.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace nbdring {
namespace {

InfoReport remote() {
  InfoReport report;
  report.backend = "nbds://h/disk";
  report.is_remote = true;
  Export about;
  about.name = "disk";
  about.description = "a\x1b[2Jdisk";
  about.size = 3 << 20;
  about.transmission_flags = nbd::flag_has_flags | nbd::flag_read_only | nbd::flag_send_df;
  about.block_size = {512, 4096, UINT32_MAX};
  report.exports.push_back({about.name, about.description, true, true, about});
  report.transmission.structured_replies = true;
  report.transmission.base_allocation = true;
  report.tls = TlsReport{"TLS1.3", "AES-128-GCM", "ECDHE-PSK", "alice"};
  return report;
}

TEST(InfoReport, OneExport) {
  EXPECT_EQ(info_text(remote()),
            "export       'disk'\n"
            "description  a?[2Jdisk\n"
            "size         3145728 bytes (3.00 MiB)\n"
            "block size   minimum 512, preferred 4096, maximum unlimited\n"
            "flags        read-only df\n"
            "replies      structured\n"
            "contexts     base:allocation\n"
            "tls          TLS1.3, AES-128-GCM, ECDHE-PSK, alice\n");
}

TEST(InfoReport, SaysWhatTheServerDoesNot) {
  InfoReport report = remote();
  report.exports[0].tells_block_size = false;
  report.exports[0].about.block_size = {};
  report.exports[0].about.transmission_flags = nbd::flag_has_flags;
  report.exports[0].description.clear();
  report.transmission = {};
  report.tls.reset();
  EXPECT_EQ(
      info_text(report),
      "export       'disk'\n"
      "size         3145728 bytes (3.00 MiB)\n"
      "block size   minimum 512, preferred 4096, maximum 32.0 MiB (defaults: the server tells "
      "none)\n"
      "flags        none\n"
      "replies      simple\n"
      "contexts     none\n"
      "tls          none: not encrypted\n");
}

TEST(InfoReport, AList) {
  InfoReport report = remote();
  report.is_list = true;
  report.exports.push_back({"other one", "", false, false, {}});
  report.transmission.extended_headers = true;
  EXPECT_EQ(info_text(report),
            "EXPORT           SIZE  FLAGS         DESCRIPTION\n"
            "'disk'       3.00 MiB  read-only df  a?[2Jdisk\n"
            "'other one'         -  -\n"
            "replies      structured, with extended headers\n"
            "tls          TLS1.3, AES-128-GCM, ECDHE-PSK, alice\n");
  report.exports.clear();
  EXPECT_EQ(info_text(report).find("no exports\n"), 0u);
}

TEST(InfoReport, ALocalBackendHasNoConnection) {
  InfoReport report = remote();
  report.is_remote = false;
  report.tls.reset();
  EXPECT_EQ(info_text(report).find("replies"), std::string::npos);
  const auto json = nlohmann::json::parse(info_json(report));
  EXPECT_TRUE(json.at("structured_replies").is_null());
  EXPECT_TRUE(json.at("tls").is_null());
}

TEST(InfoReport, Json) {
  const auto json = nlohmann::json::parse(info_json(remote()));
  EXPECT_EQ(json.at("backend"), "nbds://h/disk");
  EXPECT_EQ(json.at("structured_replies"), true);
  EXPECT_EQ(json.at("extended_headers"), false);
  EXPECT_EQ(json.at("base_allocation"), true);
  EXPECT_EQ(json.at("tls").at("exchange"), "ECDHE-PSK");
  const auto& first = json.at("exports").at(0);
  EXPECT_EQ(first.at("name"), "disk");
  EXPECT_EQ(first.at("size"), 3145728);
  EXPECT_EQ(first.at("read_only"), true);
  EXPECT_EQ(first.at("flags").dump(), R"(["read-only","df"])");
  EXPECT_EQ(first.at("block_size").at("minimum"), 512);
  EXPECT_EQ(first.at("block_size").at("told"), true);
}

TEST(InfoReport, JsonOfWhatIsNotKnownHasTheSameKeys) {
  InfoReport report = remote();
  report.is_list = true;
  report.exports = {{"\xff", "", false, false, {}}};
  const auto json = nlohmann::json::parse(info_json(report));
  EXPECT_TRUE(json.at("base_allocation").is_null());
  EXPECT_TRUE(json.at("exports").at(0).at("size").is_null());
  EXPECT_TRUE(json.at("exports").at(0).at("flags").is_null());
  EXPECT_EQ(json.at("exports").at(0).at("name"), "\xef\xbf\xbd");
}

}  // namespace
}  // namespace nbdring
