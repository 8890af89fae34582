#include "client/protocol/backend_spec.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

template <typename Form>
Form parsed(std::string_view text) {
  const BackendSpec spec = parse_backend_spec(text);
  EXPECT_TRUE(std::holds_alternative<Form>(spec.form)) << text;
  EXPECT_TRUE(spec.warnings.empty()) << text << ": " << spec.warnings.front();
  return std::get<Form>(spec.form);
}

std::string failure(std::string_view text) {
  try {
    parse_backend_spec(text);
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::usage);
    return failure.what();
  }
  return "none";
}

TEST(BackendSpec, PlainPathIsTakenAsItIs) {
  for (const char* path :
       {"/srv/disk.img", "disk.img", "./a:b", "/a:b", "/srv/nbd://x", "a b", "disk%20.img?size=1#x",
        "C:disk", "disk.img:1", "9p://x", "./memory:1G", "-", "memory", "x:/y"}) {
    EXPECT_EQ(parsed<FileSpec>(path), FileSpec{path}) << path;
  }
}

TEST(BackendSpec, FileWithParameters) {
  FileSpec expected;
  expected.path = "/srv/a b?.img";
  EXPECT_EQ(parsed<FileSpec>("file:/srv/a%20b%3F.img"), expected);
  EXPECT_EQ(parsed<FileSpec>("file:///srv/a%20b%3f.img"), expected);
  EXPECT_EQ(parsed<FileSpec>("FILE://localhost/srv/a%20b%3F.img"), expected);
  expected.cache = FileSpec::Cache::none;
  expected.offset = 1 << 20;
  expected.size = 5000;
  expected.read_only = true;
  EXPECT_EQ(parsed<FileSpec>("file:/srv/a%20b%3F.img?cache=none&offset=1M&size=5000&readonly"),
            expected);
  EXPECT_EQ(parsed<FileSpec>("file:x?cache=writeback").cache, FileSpec::Cache::writeback);
  EXPECT_FALSE(parsed<FileSpec>("file:x?readonly=0").read_only);
  EXPECT_TRUE(parsed<FileSpec>("file:x?readonly=true").read_only);
  EXPECT_EQ(parsed<FileSpec>("file:disk+1.img").path, "disk+1.img");
}

TEST(BackendSpec, MemoryAndNull) {
  EXPECT_EQ(parsed<MemorySpec>("memory:1G").size, 1u << 30);
  EXPECT_EQ(parsed<NullSpec>("null:5000").size, 5000u);
}

TEST(BackendSpec, ExecKeepsItsCommand) {
  EXPECT_EQ(parsed<ExecSpec>("exec:nbdkit -f python x.py a=100% b?#").command,
            "nbdkit -f python x.py a=100% b?#");
}

TEST(BackendSpec, RemoteForms) {
  for (const char* text :
       {"nbd://host/export", "nbd:///export", "nbds://alice@host:1/?tls-psk-file=/keys",
        "nbds://h/?tls-certificates=/pki&tls-hostname=n&tls-verify-peer=1&tls-priority=X",
        "nbd+unix:///export?socket=/run/s", "nbds+unix://alice@/x?socket=/run/s&tls-type=psk",
        "nbd+vsock://2:10809/x", "nbd+vsock:///x", "nbds+vsock://3/",
        "nbd+ssh://u@h:22/x?socket=/run/s&command=ssh&netcat=nc&keyfile=k",
        "nbd+ext:///x?command=nbdkit%20-s%20memory%201G", "ws://h:8080/path?token=1;user=2",
        "wss://h/", "wss://alice@h/x?tls-psk-file=/k&token-file=/t&export=e",
        "nbd://h/?name=x&x-experiment=1"}) {
    EXPECT_EQ(parsed<UriSpec>(text).uri, parse_uri(text)) << text;
  }
}

TEST(BackendSpec, WordsOfLibvirt) {
  EXPECT_EQ(parsed<UriSpec>("nbd+tcp://h:1/x").uri, parse_uri("nbd://h:1/x"));
  EXPECT_EQ(parsed<UriSpec>("nbd+tls://a@h/x").uri, parse_uri("nbds://a@h/x"));
  EXPECT_EQ(parsed<UriSpec>("NBDS+TCP://h/x").uri, parse_uri("nbds://h/x"));
}

// A server's name is from somewhere: it never becomes an option (-oProxyCommand=...).
TEST(BackendSpec, NothingBecomesAnOptionOfSsh) {
  const std::string end = " begins with '-', which ssh would take for an option";
  const auto refusal = [&end](const std::string& what, const std::string& text) {
    return "the " + what + " in '" + text + "'" + end;
  };
  const std::string host = "nbd+ssh://-oProxyCommand=x/e?socket=/s";
  const std::string encoded = "nbd+ssh://%2DoProxyCommand=x/e?socket=/s";
  const std::string user = "nbd+ssh://-lx@h/e?socket=/s";
  const std::string socket = "nbd+ssh://h/e?socket=-s";
  EXPECT_EQ(failure(host), refusal("host '-oProxyCommand=x'", host));
  EXPECT_EQ(failure(encoded), refusal("host '-oProxyCommand=x'", encoded));
  EXPECT_EQ(failure(user), refusal("user '-lx'", user));
  EXPECT_EQ(failure(socket), refusal("socket '-s'", socket));
  EXPECT_EQ(failure("nbd+ssh://h/e?socket=%00s"),
            "the socket in 'nbd+ssh://h/e?socket=%00s' is an abstract one, which nc -U cannot "
            "reach");
}

TEST(BackendSpec, UnknownParametersAreWarnings) {
  const auto warnings = [](std::string_view text) { return parse_backend_spec(text).warnings; };
  EXPECT_EQ(warnings("nbd://h/?colour=red&colour=blue&name=x"),
            (std::vector<std::string>(
                2, "parameter 'colour' of the backend is not known to nbd: and is ignored")));
  EXPECT_EQ(warnings("file:x?command=y"),
            std::vector<std::string>{
                "parameter 'command' of the backend is not known to file: and is ignored"});
  EXPECT_TRUE(warnings("nbd://h/?x-colour=red").empty());
  EXPECT_EQ(warnings("nbd://h/?netcat=nc").size(), 1u);
}

TEST(BackendSpec, SaysWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "the backend is empty; name a file, or see nbdring --help"},
      {std::string("a\0b", 3), "the backend contains a NUL"},
      {"file:", "the path in 'file:' is empty; write file:PATH"},
      {"file:?size=1", "the path in 'file:?size=1' is empty; write file:PATH"},
      {"file://host/x",
       "file: names a file of this machine, 'file://host/x' has a host; write file:PATH"},
      {"file:x?cache=unsafe", "the parameter cache='unsafe' is not writeback or none"},
      {"file:x?readonly=maybe", "the parameter readonly='maybe' is not 0 or 1"},
      {"file:x?size=0", "size '0' is not more than 0"},
      {"file:x?size=", "size '' is not a number of bytes; write 5000, 64K, 10M, 1G, 2T or 1P"},
      {"file:x?offset=4096P&size=4096P",
       "offset and size in 'file:x?offset=4096P&size=4096P' reach beyond 2^63 bytes"},
      {"file:x?size=1&size=2", "the parameter 'size' is given twice in file:x?size=1&size=2"},
      {"file:a#b", "the URI's fragment '#b' means nothing here; write a '#' itself as %23"},
      {"memory:",
       "the size of memory: '' is not a number of bytes; write 5000, 64K, 10M, 1G, 2T or 1P"},
      {"null:0", "the size of null: '0' is not more than 0"},
      {"exec: ", "the command behind exec: is empty; write exec:CMD, as in exec:nbdkit memory 1G"},
      {"nbd:host:10809",
       "'nbd:host:10809' has no '//' behind its scheme; write nbd://HOST[:PORT]/EXPORT"},
      {"nbd+unix:///x",
       "the parameter 'socket' in 'nbd+unix:///x' is missing; write "
       "nbd+unix:///EXPORT?socket=PATH"},
      {"nbd+unix:///x?socket=",
       "the parameter 'socket' in 'nbd+unix:///x?socket=' is missing; write "
       "nbd+unix:///EXPORT?socket=PATH"},
      {"nbd+unix://host/x?socket=/s",
       "the host 'host' has no meaning with nbd+unix:; write nbd+unix:///EXPORT?socket=PATH"},
      {"nbd+unix://:1/x?socket=/s",
       "the host '' has no meaning with nbd+unix:; write nbd+unix:///EXPORT?socket=PATH"},
      {"nbd://h/x?socket=/s",
       "the parameter 'socket' has no meaning with nbd:; write nbd+unix:///EXPORT?socket=PATH"},
      {"nbd+vsock://host/x",
       "the vsock context id 'host' is not a number; it is 2 for the host of this virtual machine"},
      {"nbd+ssh:///x?socket=/s",
       "the host in 'nbd+ssh:///x?socket=/s' is missing; write "
       "nbd+ssh://[USER@]HOST[:PORT]/EXPORT?socket=PATH"},
      {"nbd+ssh://h/x",
       "the parameter 'socket' in 'nbd+ssh://h/x' is missing; write "
       "nbd+ssh://[USER@]HOST[:PORT]/EXPORT?socket=PATH"},
      {"nbd+ssh://h/x?socket=/s&netcat",
       "the parameter 'netcat' in 'nbd+ssh://h/x?socket=/s&netcat' is empty; write "
       "nbd+ssh://[USER@]HOST[:PORT]/EXPORT?socket=PATH"},
      {"nbd+ext:///x",
       "the parameter 'command' in 'nbd+ext:///x' is missing; write nbd+ext:///EXPORT?command=CMD"},
      {"ws:///x", "the host in 'ws:///x' is missing; write ws://HOST[:PORT]/PATH"},
      {"ws://me@h/x",
       "the user in 'ws://me@h/x' has no meaning with ws:; a token goes into a file: "
       "token-file=FILE"},
      {"ws://h/x?token-file",
       "the parameter 'token-file' in 'ws://h/x?token-file' is empty; write ws://HOST[:PORT]/PATH"},
      {"nbd://h/?name=a&name=b", "the parameter 'name' is given twice in nbd://h/?name=a&name=b"},
      {"http://h/x",
       "the scheme 'http' in 'http://h/x' is none of file, memory, null, exec, nbd, nbds, "
       "nbd+unix, "
       "nbds+unix, nbd+vsock, nbds+vsock, nbd+ssh, nbd+ext, ws, wss; write ./http://h/x for a file "
       "of this name"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(failure(text), expected) << text;
}

TEST(BackendSpec, TextIsReadBackAsTheSameForm) {
  for (const char* text :
       {"/srv/disk 1.img", "disk.img", "./a:b", "nbd", "x#y%z?", "//srv/x",
        "file:/srv/x?cache=none&offset=512&size=1G&readonly", "memory:1G", "null:5000",
        "exec:nbdkit -f python x.py", "nbds://alice@h/x?tls-psk-file=/k"}) {
    const BackendForm form = parse_backend_spec(text).form;
    EXPECT_EQ(parse_backend_spec(to_text(form)).form, form) << text << " -> " << to_text(form);
  }
  EXPECT_EQ(to_text(parse_backend_spec("/srv/disk 1.img").form), "/srv/disk 1.img");
  EXPECT_EQ(to_text(parse_backend_spec("disk 1.img").form), "file:disk%201.img");
  EXPECT_EQ(to_text(parse_backend_spec("memory:1G").form), "memory:1073741824");
}

TEST(ParseSize, CountsInPowersOf1024) {
  const std::vector<std::pair<std::string, std::uint64_t>> cases{
      {"0", 0},
      {"5000", 5000},
      {"007", 7},
      {"1K", 1 << 10},
      {"1k", 1 << 10},
      {"64KiB", 64 << 10},
      {"3M", 3 << 20},
      {"2G", std::uint64_t{2} << 30},
      {"2gib", std::uint64_t{2} << 30},
      {"4T", std::uint64_t{4} << 40},
      {"5P", std::uint64_t{5} << 50},
      {"8191P", std::uint64_t{8191} << 50},
      {"9223372036854775807", INT64_MAX},
  };
  for (const auto& [text, bytes] : cases) EXPECT_EQ(parse_size(text), bytes) << text;
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  const auto refusal = [](std::string_view text) -> std::string {
    try {
      return std::to_string(parse_size(text));
    } catch (const Failure& failure) {
      return failure.what();
    }
  };
  for (const std::string text :
       {"", "K", "1X", "1KB", "1E", "-1", "+1", " 1", "1 ", "1.5G", "0x10", "1KiBx", "1KK", "iB"}) {
    EXPECT_EQ(refusal(text), "size '" + text +
                                 "' is not a number of bytes; write 5000, 64K, 10M, 1G, "
                                 "2T or 1P");
  }
  for (const std::string text : {"9223372036854775808", "18446744073709551616", "8192P",
                                 "16777216T", "99999999999999999999K"}) {
    EXPECT_EQ(refusal(text), "size '" + text + "' is 2^63 bytes or more");
  }
}

}  // namespace
}  // namespace nbdring
