#include "client/protocol/uri.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using Parameters = std::vector<std::pair<std::string, std::string>>;

std::string failure(std::string_view text) {
  try {
    parse_uri(text);
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::usage);
    return failure.what();
  }
  return "none";
}

TEST(ParseUri, TakesEveryPart) {
  const Uri uri = parse_uri("NBDS://alice@example.com:1234/a/b?tls-psk-file=keys.psk&x-y");
  EXPECT_EQ(uri.scheme, "nbds");
  EXPECT_TRUE(uri.has_authority);
  EXPECT_EQ(uri.user, "alice");
  EXPECT_EQ(uri.host, "example.com");
  EXPECT_EQ(uri.port, 1234u);
  EXPECT_EQ(uri.path, "/a/b");
  EXPECT_EQ(uri.parameters, (Parameters{{"tls-psk-file", "keys.psk"}, {"x-y", ""}}));
}

TEST(ParseUri, PartsMayBeAbsent) {
  const Uri uri = parse_uri("nbd://");
  EXPECT_TRUE(uri.has_authority);
  EXPECT_EQ(uri.user, std::nullopt);
  EXPECT_EQ(uri.host, "");
  EXPECT_EQ(uri.port, std::nullopt);
  EXPECT_EQ(uri.path, "");
  EXPECT_TRUE(uri.parameters.empty());
  EXPECT_FALSE(parse_uri("file:disk.img").has_authority);
  EXPECT_EQ(parse_uri("file:disk.img").path, "disk.img");
  EXPECT_EQ(parse_uri("nbd://@host").user, "");
  EXPECT_EQ(parse_uri("nbd://host:/x").port, std::nullopt);
}

// The table of doc/uri.md, and what follows from it.
TEST(ParseUri, ExportNames) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"nbd://example.com/disk", "disk"},
      {"nbd+unix:///disk?socket=sock", "disk"},
      {"nbd://example.com/", ""},
      {"nbd://example.com", ""},
      {"nbd://example.com//disk", "/disk"},
      {"nbd://example.com/hello%20world", "hello world"},
      {"nbd://example.com/a+b", "a+b"},
      {"nbd://example.com/what%3f%2F%23", "what?/#"},
      {"nbd://example.com/%D1%84", "\xd1\x84"},
      {"nbd://example.com/x:y@z", "x:y@z"},
      {"nbd://example.com?x-a=/b", ""},
      {"nbd://example.com/ignored?name=", ""},
      {"nbd://example.com/ignored?name=a%2Fb", "a/b"},
  };
  for (const auto& [text, name] : cases) EXPECT_EQ(parse_uri(text).export_name(), name) << text;
}

TEST(ParseUri, Hosts) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"nbd://[::1]/x", "::1"},
      {"nbd://[2001:db8::1]:10809", "2001:db8::1"},
      {"nbd://[::ffff:192.0.2.1]", "::ffff:192.0.2.1"},
      {"nbd://[fe80::1%25eth0]:1/", "fe80::1%eth0"},
      {"nbd://192.0.2.1:10809/x", "192.0.2.1"},
      {"nbd://u:p@host/x", "host"},
      {"nbd://ex%61mple/x", "example"},
      {"nbd+vsock://2:5000000/x", "2"},
  };
  for (const auto& [text, host] : cases) EXPECT_EQ(parse_uri(text).host, host) << text;
  EXPECT_EQ(parse_uri("nbd+vsock://2:5000000/x").port, 5000000u);
  EXPECT_EQ(parse_uri("nbd://a%40b:c@host/x").user, "a@b:c");
}

TEST(ParseUri, Parameters) {
  const std::vector<std::pair<std::string, Parameters>> cases{
      {"", {}},
      {"?", {}},
      {"?a=1&b=2", {{"a", "1"}, {"b", "2"}}},
      {"?a=1;b=2", {{"a", "1"}, {"b", "2"}}},
      {"?a=1&&;b=2&", {{"a", "1"}, {"b", "2"}}},
      {"?a", {{"a", ""}}},
      {"?a=", {{"a", ""}}},
      {"?=value&a=1", {{"a", "1"}}},
      {"?a=b=c?d", {{"a", "b=c?d"}}},
      {"?a=x+y", {{"a", "x+y"}}},
      {"?a=x%26y%3Bz", {{"a", "x&y;z"}}},
      {"?%61%3D=1", {{"a=", "1"}}},
      {"?a=1&a=2", {{"a", "1"}, {"a", "2"}}},
  };
  for (const auto& [query, parameters] : cases) {
    const Uri uri = parse_uri("nbd://host/x" + query);
    EXPECT_EQ(uri.parameters, parameters) << query;
    EXPECT_EQ(uri.path, "/x") << query;
  }
  const Uri uri = parse_uri("nbd://host?a=1&a=2");
  EXPECT_EQ(uri.parameter("a"), "1");
  EXPECT_EQ(uri.parameter("b"), std::nullopt);
}

TEST(ParseUri, AbstractSocketMayBeginWithNul) {
  EXPECT_EQ(parse_uri("nbd+unix:///?socket=%00/abstract").parameter("socket"),
            std::string_view("\0/abstract", 10));
  EXPECT_EQ(failure("nbd+unix:///?socket=a%00b"),
            "the URI's parameter socket 'a%00b' contains a NUL");
  EXPECT_EQ(failure("nbd+unix:///?socket=%00%00"),
            "the URI's parameter socket '%00%00' contains a NUL");
}

TEST(ParseUri, SaysWhichPartIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"/dev/sda", "scheme '/dev/sda' is missing; a URI begins as nbd://HOST/EXPORT does"},
      {"1nbd://x", "scheme '1nbd://x' is missing; a URI begins as nbd://HOST/EXPORT does"},
      {"", "scheme '' is missing; a URI begins as nbd://HOST/EXPORT does"},
      {"nbd://h/x#y", "fragment '#y' means nothing here; write a '#' itself as %23"},
      {"nbd://h/100%",
       "path '/100%' has a '%' without two hexadecimal digits; write a '%' itself as %25"},
      {"nbd://h/%2g",
       "path '/%2g' has a '%' without two hexadecimal digits; write a '%' itself as %25"},
      {"nbd://h/a%00", "path '/a%00' contains a NUL"},
      {"nbd://h/?a%00=1", "parameter 'a%00' contains a NUL"},
      {"nbd://a%00@h/", "user 'a%00' contains a NUL"},
      {"nbd://h:0/", "port '0' is not a number from 1 to 65535"},
      {"nbd://h:65536/", "port '65536' is not a number from 1 to 65535"},
      {"nbd://h:99999999999/", "port '99999999999' is not a number from 1 to 65535"},
      {"nbd://h:10 /", "port '10 ' is not a number from 1 to 65535"},
      {"nbd://h:-1/", "port '-1' is not a number from 1 to 65535"},
      {"nbd+vsock://2:4294967295/", "port '4294967295' is not a number from 1 to 4294967294"},
      {"nbd://::1/",
       "host '::1' is not clear; an IPv6 address is written in brackets, as in [::1]"},
      {"nbd://a%3Ab/", "host 'a%3Ab' has a character that no host's name has"},
      {"nbd://[::1/", "host '[::1' has a '[' without its ']'"},
      {"nbd://[::1]x/", "host '[::1]x' has something other than a port behind its ']'"},
      {"nbd://[]/", "host '' is not an IPv6 address"},
      {"nbd://[host]/", "host 'host' is not an IPv6 address"},
      {"nbd://[fe80::1%eth0]/",
       "host 'fe80::1%eth0' has a '%' without two hexadecimal digits; write a '%' itself as %25"},
      {"nbd://[fe80::1%25]/", "host 'fe80::1%25' has a zone that is no interface's name"},
      {"nbd://a b/", "host 'a b' has a character that no host's name has"},
      {"nbd://a%2Fb/", "host 'a%2Fb' has a character that no host's name has"},
      {"nbd://a@b@c/", "authority 'a@b@c' has more than one '@'; write the others as %40"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(failure(text), "the URI's " + expected);
}

TEST(UriText, IsReadBackAsTheSame) {
  for (const char* text :
       {"nbd://host", "nbd://host/", "nbd://", "nbds://alice@[2001:db8::1]:10809//disk?x-a=b%26c",
        "nbd+unix:///export?socket=%00/abstract", "nbd://@h", "file:disk.img", "file:/a%20b",
        "file:/%2Fa", "nbd://[fe80::1%25eth0]", "nbd://h/%D1%84?%3D=%3D"}) {
    const Uri uri = parse_uri(text);
    EXPECT_EQ(parse_uri(to_text(uri)), uri) << text << " -> " << to_text(uri);
  }
}

TEST(UriText, IsCanonical) {
  EXPECT_EQ(to_text(parse_uri("NBD://h:/a%62%2f%c3%a4?a=;b=%31;;")), "nbd://h/ab/%C3%A4?a&b=1");
  EXPECT_EQ(to_text(parse_uri("file:/%2Fa")), "file:/%2Fa");
}

TEST(SchemeOf, NeedsALetterFirst) {
  EXPECT_EQ(scheme_of("nbd+unix:x"), "nbd+unix");
  EXPECT_EQ(scheme_of("NBD:x"), "nbd");
  EXPECT_EQ(scheme_of("./a:b"), std::nullopt);
  EXPECT_EQ(scheme_of("/a:b"), std::nullopt);
  EXPECT_EQ(scheme_of("9p:x"), std::nullopt);
  EXPECT_EQ(scheme_of("a b:c"), std::nullopt);
  EXPECT_EQ(scheme_of(":x"), std::nullopt);
  EXPECT_EQ(scheme_of("plain"), std::nullopt);
}

}  // namespace
}  // namespace nbdring
