// Servers that break the rules, refuse, or go away: one clear clause for each, and nothing sent
// that TLS was to protect.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/protocol/handshake_client.hpp"
#include "tests/client/protocol/handshake_replies.hpp"

namespace nbdring {
namespace {

using State = ClientHandshake::State;
using Goal = ClientHandshakeOptions::Goal;

struct Bad {
  std::string what;
  ClientHandshakeOptions wish;
  Bytes server;
  FailureKind kind;
  std::string reason;
  bool aborts = false;  // leaves with ABORT
};

// Ends as said, however the bytes arrive.
void expect_failure(const Bad& bad) {
  for (const std::size_t piece : {SIZE_MAX, std::size_t{1}, std::size_t{7}}) {
    ClientHandshake handshake(bad.wish);
    Bytes output;
    std::size_t taken = 0;
    while (handshake.state() == State::more && taken < bad.server.size()) {
      const auto step = handshake.feed(
          std::span(bad.server).subspan(taken, std::min(piece, bad.server.size() - taken)));
      taken += step.consumed;
      output = output + step.output;
      if (step.state == State::start_tls) output = output + handshake.tls_started().output;
    }
    if (handshake.state() == State::more) handshake.stream_ended();
    EXPECT_EQ(handshake.state(), State::failed) << bad.what;
    EXPECT_EQ(handshake.wanted(), 0u);
    EXPECT_EQ(handshake.failure_kind(), bad.kind) << bad.what;
    EXPECT_EQ(handshake.reason(), bad.reason) << bad.what;
    const Bytes abort = option(nbd::opt_abort);
    const bool aborted =
        output.size() >= abort.size() && std::equal(abort.rbegin(), abort.rend(), output.rbegin());
    EXPECT_EQ(aborted, bad.aborts) << bad.what;
  }
}

const ClientHandshakeOptions plain{Goal::go, "disk", TlsPolicy::off};
const ClientHandshakeOptions allowed{Goal::go, "disk", TlsPolicy::allow};
const ClientHandshakeOptions required{Goal::go, "disk", TlsPolicy::require};
const ClientHandshakeOptions listing{Goal::list, "", TlsPolicy::off};
constexpr auto unreachable = FailureKind::unreachable;
constexpr auto is_refused = FailureKind::refused;
const std::string breaks = "the server breaks the protocol: ";

Bytes oldstyle() {
  Bytes bytes;
  append_struct(bytes, Be64(nbd::init_passwd));
  append_struct(bytes, Be64(nbd::cliserv_magic_oldstyle));
  return bytes + Bytes(136);
}

TEST(ClientHandshakeHostile, Greetings) {
  const std::string old =
      "the server speaks the oldstyle handshake, which has neither exports nor TLS";
  for (const Bad& bad : std::vector<Bad>{
           {"ssh", plain, text("SSH-2.0-OpenSSH_9.2p1 Debian"), unreachable,
            "what answers is no NBD server: it begins with 'SSH-2.0-'"},
           {"escapes", plain, text("\x1b[2J\x1b[2Jabcdefghijk"), unreachable,
            "what answers is no NBD server: it begins with '?[2J?[2J'"},
           {"oldstyle", plain, oldstyle(), unreachable, old},
           {"oldstyle, TLS", required, oldstyle(), is_refused, old},
           {"not fixed", required, greeting(nbd::flag_no_zeroes), is_refused,
            "the server has no fixed newstyle handshake, so no TLS, which is required"},
           {"not fixed, list", listing, greeting(0), unreachable,
            "the server has no fixed newstyle handshake, so it cannot list its exports"},
           {"half a magic", plain, text("NBDMAGICIHAVEOPX12"), unreachable,
            breaks + "its greeting lacks IHAVEOPT"},
           {"nothing",
            plain,
            {},
            unreachable,
            "the server closed the connection without a greeting"},
           {"half a greeting", plain, text("NBDMAGIC"), unreachable,
            "the server closed the connection, its greeting was to come"}}) {
    expect_failure(bad);
  }
}

TEST(ClientHandshakeHostile, Tls) {
  const Bytes hello = greeting();
  const auto starttls = [&](std::uint32_t type, const Bytes& data = {}) {
    return hello + reply(nbd::opt_starttls, type, data);
  };
  for (const Bad& bad : std::vector<Bad>{
           {"no TLS", required, starttls(nbd::rep_err_unsup), is_refused,
            "the server refuses TLS, which is required, so nothing was asked of it (ERR_UNSUP)",
            true},
           {"policy", required, starttls(nbd::rep_err_policy, text("\x1b]0;no\a")), is_refused,
            "the server refuses TLS, which is required, so nothing was asked of it "
            "(ERR_POLICY: ?]0;no?)",
            true},
           {"an ACK with data", required, starttls(nbd::rep_ack, text("x")), unreachable,
            breaks + "its ACK to STARTTLS carries data"},
           {"INFO instead", required, starttls(nbd::rep_info, export_info(1, 1)), unreachable,
            breaks + "it answers STARTTLS with reply type 3"},
           {"another option", required, hello + reply(nbd::opt_go, nbd::rep_ack), unreachable,
            breaks + "it answers option 7 instead of STARTTLS"},
           {"STARTTLS again", required, starttls(nbd::rep_ack) + reply(nbd::opt_starttls, 1),
            unreachable, breaks + "it answers option 5 instead of EXTENDED_HEADERS"},
           {"demanded", plain, hello + reply(nbd::opt_extended_headers, nbd::rep_err_tls_reqd),
            is_refused,
            "the server demands TLS: write nbds:// (nbds+unix://, nbds+vsock://), or say "
            "--tls=require",
            true},
           {"demanded late", plain,
            hello + no_structured() + reply(nbd::opt_go, nbd::rep_err_tls_reqd), is_refused,
            "the server demands TLS: write nbds:// (nbds+unix://, nbds+vsock://), or say "
            "--tls=require",
            true},
           {"demanded and refused", allowed,
            starttls(nbd::rep_err_unsup) + reply(nbd::opt_extended_headers, nbd::rep_err_tls_reqd),
            is_refused, "the server demands TLS, but refuses to start it", true},
           {"demanded inside", required,
            starttls(nbd::rep_ack) + reply(nbd::opt_extended_headers, nbd::rep_err_tls_reqd),
            unreachable, breaks + "it demands TLS, which is up"},
           {"gone inside", required, starttls(nbd::rep_ack), is_refused,
            "the server closed the connection right after the TLS handshake: it does not accept "
            "our "
            "certificate or key (or demands one)"},
           {"gone before", required, hello, unreachable,
            "the server closed the connection, the answer to STARTTLS was to come"}}) {
    expect_failure(bad);
  }
}

// The options after this are the server's answers to GO, by which it must have told a size.
Bytes go(const Bytes& answers) { return greeting() + no_structured() + answers; }
Bytes info(const Bytes& data) { return reply(nbd::opt_go, nbd::rep_info, data); }
const Bytes ack = reply(nbd::opt_go, nbd::rep_ack);

TEST(ClientHandshakeHostile, Exports) {
  Bytes twice = info(export_info(1 << 20, plain_flags));
  const auto told = [](std::uint64_t size, std::uint16_t flags) {
    return go(info(export_info(size, flags)) + ack);
  };
  const auto sizes = [](std::uint32_t minimum, std::uint32_t preferred, std::uint32_t maximum) {
    return go(told_size() + info(block_size_info(minimum, preferred, maximum)) + ack);
  };
  Bytes endless;
  for (int i = 0; i < 65; ++i) endless = endless + info(text_info(77, ""));
  for (const Bad& bad : std::vector<Bad>{
           {"no size", plain, go(ack), unreachable, breaks + "it acknowledges GO without a size"},
           {"two sizes", plain, go(twice + info(export_info(2 << 20, plain_flags))), unreachable,
            breaks + "it tells two sizes or two sets of flags"},
           {"two flags", plain, go(twice + info(export_info(1 << 20, 1))), unreachable,
            breaks + "it tells two sizes or two sets of flags"},
           {"short", plain, go(info(text_info(nbd::info_export, "123456789"))), unreachable,
            breaks + "the information about the size has a wrong length"},
           {"no type", plain, go(info(text("x"))), unreachable,
            breaks + "an information lacks its type"},
           {"long block size", plain, go(info(text_info(nbd::info_block_size, "1234567890123"))),
            unreachable, breaks + "the information about block sizes has a wrong length"},
           {"NUL in the name", plain,
            go(info(text_info(nbd::info_name, std::string_view("a\0b", 3)))), unreachable,
            breaks + "an export's name or description is no text"},
           {"long description", plain,
            go(info(text_info(nbd::info_description, std::string(4097, 'x')))), unreachable,
            breaks + "an export's name or description is no text"},
           {"endless", plain, go(endless), unreachable,
            breaks + "it tells more than 64 things about one export"},
           {"negative size", plain, told(1ull << 63, plain_flags), unreachable,
            breaks + "the size is 2^63 bytes or more"},
           {"no HAS_FLAGS", plain, told(1 << 20, 4), unreachable,
            breaks + "the transmission flags lack HAS_FLAGS"},
           {"min 3", plain, sizes(3, 512, 512), unreachable,
            breaks + "the minimum block size is not a power of two"},
           {"min 128 KiB", plain, sizes(1 << 17, 1 << 17, 1 << 20), unreachable,
            breaks + "the minimum block size exceeds 64 KiB"},
           {"preferred below min", plain, sizes(4096, 512, 1 << 20), unreachable,
            breaks + "the preferred block size is less than 512 or than the minimum"},
           {"max below preferred", plain, sizes(512, 4096, 512), unreachable,
            breaks + "the maximum payload is less than the preferred block size"},
           {"GO acknowledged with data", plain,
            go(told_size() + reply(nbd::opt_go, nbd::rep_ack, text("x"))), unreachable,
            breaks + "its ACK to GO carries data"},
           {"SERVER to GO", plain, go(reply(nbd::opt_go, nbd::rep_server, counted("x"))),
            unreachable, breaks + "it answers GO with reply type 2"}}) {
    expect_failure(bad);
  }
}

TEST(ClientHandshakeHostile, Refusals) {
  const auto error = [](std::uint32_t type, std::string_view words = "") {
    return go(reply(nbd::opt_go, type, text(words)));
  };
  for (const Bad& bad : std::vector<Bad>{
           {"unknown", plain, error(nbd::rep_err_unknown, "no such export"), FailureKind::not_found,
            "the server has no export named 'disk'; `nbdring info --list URI` shows which it has "
            "(ERR_UNKNOWN: no such export)",
            true},
           {"policy", plain, error(nbd::rep_err_policy), is_refused,
            "the server's policy refuses the export 'disk' (ERR_POLICY)", true},
           {"shutdown", plain, error(nbd::rep_err_shutdown), unreachable,
            "the server is shutting down (ERR_SHUTDOWN)", true},
           {"block sizes", plain, error(nbd::rep_err_block_size_reqd), unreachable,
            breaks + "it demands that block sizes are asked for, which they were"},
           {"extended", plain, error(nbd::rep_err_ext_header_reqd), unreachable,
            "the server serves 'disk' only with extended headers, to which it did not agree "
            "(ERR_EXT_HEADER_REQD)",
            true},
           {"new error", plain, error(nbd::rep_error_bit + 99, std::string(5000, 'x')), unreachable,
            "the server refuses the export 'disk' (error 0x80000063: " + std::string(256, 'x') +
                "...)",
            true},
           {"no list", listing,
            greeting() + no_structured() + reply(nbd::opt_list, nbd::rep_err_policy), is_refused,
            "the server does not list its exports (ERR_POLICY)", true},
           {"closed at EXPORT_NAME", plain, error(nbd::rep_err_unsup), FailureKind::not_found,
            "the server closed the connection: it has no export named 'disk'"},
           {"closed at GO", plain, go({}), unreachable,
            "the server closed the connection, the answer to GO was to come"}}) {
    expect_failure(bad);
  }
}

TEST(ClientHandshakeHostile, ListsAndContexts) {
  const Bytes lists = greeting() + no_structured();
  const auto server = [](const Bytes& data) { return reply(nbd::opt_list, nbd::rep_server, data); };
  const Bytes sets = greeting() + reply(nbd::opt_extended_headers, nbd::rep_err_unsup) +
                     reply(nbd::opt_structured_reply, nbd::rep_ack);
  const auto told = [](const Bytes& data) {
    return reply(nbd::opt_set_meta_context, nbd::rep_meta_context, data);
  };
  Bytes contexts;
  for (unsigned i = 0; i < 17; ++i) contexts = contexts + told(context(i, "x:y"));
  Bytes exports;
  for (int i = 0; i < 10'001; ++i) exports = exports + server(counted(""));
  for (const Bad& bad : std::vector<Bad>{
           {"name beyond the reply", listing, lists + server(text(std::string("\0\0\1\0x", 5))),
            unreachable, breaks + "the name of a listed export is no name"},
           {"4 GiB of name", listing, lists + server(text("\xff\xff\xff\xffx")), unreachable,
            breaks + "the name of a listed export is no name"},
           {"nothing", listing, lists + server({}), unreachable,
            breaks + "the name of a listed export is no name"},
           {"long name", listing, lists + server(counted(std::string(4097, 'x'))), unreachable,
            breaks + "the name of a listed export is no name"},
           {"endless", listing, lists + exports, unreachable,
            breaks + "it lists more than 10000 exports"},
           {"short context", plain, sets + told(text("abc")), unreachable,
            breaks + "a metadata context is malformed"},
           {"two numbers", plain,
            sets + told(context(1, "base:allocation")) + told(context(2, "base:allocation")),
            unreachable, breaks + "base:allocation has two numbers"},
           {"many", plain, sets + contexts, unreachable,
            breaks + "it names more than 16 metadata contexts"}}) {
    expect_failure(bad);
  }
}

TEST(ClientHandshakeHostile, Lengths) {
  Bytes heavy = greeting() + no_structured();
  for (int i = 0; i < 17; ++i) {
    heavy = heavy + reply(nbd::opt_go, nbd::rep_info, text_info(99, std::string(64'000, 'x')));
  }
  for (const Bad& bad : std::vector<Bad>{
           {"4 GiB", plain,
            greeting() + reply_header(nbd::opt_extended_headers, nbd::rep_err_unsup, UINT32_MAX),
            unreachable,
            breaks + "its answer to EXTENDED_HEADERS carries 4294967295 bytes, more than 65536"},
           {"wrong magic", plain, greeting() + text("HTTP/1.1 400 Bad Request\r\n"), unreachable,
            breaks + "an option reply begins with a wrong magic"},
           {"heavy", plain, heavy, unreachable,
            breaks + "its handshake has no end: more than 1048576 bytes"}}) {
    expect_failure(bad);
  }
}

TEST(ClientHandshakeHostile, NothingBehindStarttlsIsTaken) {
  ClientHandshake handshake(required);
  const Bytes agreed = greeting() + reply(nbd::opt_starttls, nbd::rep_ack);
  const auto step = handshake.feed(agreed + no_structured() + told_size() + ack);
  EXPECT_EQ(step.state, State::start_tls);
  EXPECT_EQ(step.consumed, agreed.size());
  EXPECT_EQ(handshake.wanted(), 0u);
}

}  // namespace
}  // namespace nbdring
