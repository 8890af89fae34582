// The dialer against a server that follows a script on a Unix socket: what it sends and when, how
// it ends, and that nothing is read ahead.

#include "backends/nbd/dial.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "backends/nbd/tls_settings.hpp"
#include "client/protocol/handshake_server.hpp"
#include "client/transport/send_all.hpp"
#include "client/transport/socket.hpp"
#include "tests/client/protocol/handshake_replies.hpp"
#include "tests/support/fixtures.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;
using Goal = ClientHandshakeOptions::Goal;

class DialTest : public testing::Test {
 protected:
  using Script = std::function<void(BlockingClient& peer)>;

  DialTest() {
    std::string path = (std::filesystem::temp_directory_path() / "nbdring-dial.XXXXXX").string();
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string socket = folder_ + "/s";
    socket.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 4), 0);
    std::ofstream(folder_ + "/keys") << "alice:00112233445566778899aabbccddeeff\n";
    std::filesystem::permissions(folder_ + "/keys", std::filesystem::perms::owner_read);
  }
  ~DialTest() override {
    if (server_.joinable()) server_.join();
    std::filesystem::remove_all(folder_);
  }

  /// One client, one script; what it is sent stays in the socket until the script looks.
  void serve(Script script) {
    server_ = std::thread([this, script = std::move(script)] {
      BlockingClient peer(FileDescriptor(::accept(listener_.get(), nullptr, nullptr)));
      script(peer);
    });
  }
  std::unique_ptr<Dialer> dialer(const std::string& scheme = "nbd",
                                 milliseconds patience = milliseconds(10'000)) {
    std::string uri = scheme + "+unix://alice@/disk?socket=" + folder_ + "/s";
    if (scheme == "nbds") uri += "&tls-psk-file=" + folder_ + "/keys";
    const auto form = parse_backend_spec(uri).form;
    DialOptions options;
    options.handshake_deadline = patience;
    return std::make_unique<Dialer>(form, tls_settings_of(form, {}), options, log_.log());
  }

  static Task<void> dial(Loop& loop, const Dialer& dialer, Dialled& dialled) {
    dialled = co_await dialer.dial(loop);
  }
  static Task<void> look(Loop& loop, const Dialer& dialer, Goal goal, Looked& looked) {
    looked = co_await dialer.look(loop, goal);
  }
  /// The text of the failure, without what names the backend.
  std::string failure(const Dialer& dialer, FailureKind kind) {
    Loop loop;
    Dialled dialled;
    try {
      loop.run(dial(loop, dialer, dialled));
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), kind) << failure.what();
      const std::string text = failure.what();
      EXPECT_EQ(text.find("cannot open nbd"), 0u) << text;
      return text.substr(text.find(": the ") == std::string::npos ? 0 : text.find(": the ") + 2);
    }
    return "none";
  }

  std::string folder_;
  FileDescriptor listener_;
  CapturedLog log_;
  std::thread server_;
};

const Bytes good_end = no_structured() + told_size() + reply(nbd::opt_go, nbd::rep_ack);

TEST_F(DialTest, LeavesTheFirstReplyInTheSocket) {
  serve([](BlockingClient& peer) {
    peer.send_raw(greeting() + good_end + text("the first reply"));
    peer.receive_raw(4 + 16 + 16 + 16 + 4 + 4 + 2 + 8);
    peer.reads_end();
  });
  Loop loop;
  Dialled dialled;
  const auto client = dialer();
  loop.run(dial(loop, *client, dialled));
  EXPECT_EQ(dialled.about.size, 1u << 20);
  EXPECT_EQ(dialled.tls, nullptr);
  std::array<std::byte, 100> bytes;
  std::array<iovec, 1> buffer{iovec{bytes.data(), bytes.size()}};
  EXPECT_EQ(dialled.stream().receive(buffer), 15);
  EXPECT_EQ(static_cast<char>(bytes[0]), 't');
}

TEST_F(DialTest, OneDeadlineForAllOfIt) {
  serve([](BlockingClient& peer) {
    const Bytes slowly = greeting();
    for (const std::byte byte : slowly) {  // never quiet for long, never done
      if (::send(peer.fd(), &byte, 1, MSG_NOSIGNAL) != 1) return;
      std::this_thread::sleep_for(milliseconds(40));
    }
  });
  const auto client = dialer("nbd", milliseconds(200));
  const auto begin = Clock::now();
  EXPECT_EQ(failure(*client, FailureKind::unreachable),
            "the server did not finish the handshake within 200 ms, its greeting was to come");
  EXPECT_LT(Clock::now() - begin, milliseconds(2'000));
}

TEST_F(DialTest, TheServersLastWordsCountAlthoughItHasGone) {
  serve([](BlockingClient& peer) {
    peer.send_raw(greeting() + no_structured() + reply(nbd::opt_go, nbd::rep_err_shutdown));
  });
  const auto client = dialer();
  const std::string text = failure(*client, FailureKind::unreachable);
  // Where the socket's reset came first, the words were lost with it.
  EXPECT_TRUE(text == "the server is shutting down (ERR_SHUTDOWN)" ||
              text.find("the server closed the connection") == 0)
      << text;
}

TEST_F(DialTest, LeavesWithAbort) {
  Bytes last;
  serve([&last](BlockingClient& peer) {
    peer.send_raw(greeting() + no_structured() + reply(nbd::opt_go, nbd::rep_err_unknown));
    const std::size_t before = 4 + 16 + 16 + 16 + 4 + 4 + 2 + 8;
    last = peer.receive_raw(before + 16);
    EXPECT_TRUE(peer.reads_end());
    last.erase(last.begin(), last.begin() + before);
  });
  const auto client = dialer();
  EXPECT_EQ(failure(*client, FailureKind::not_found),
            "the server has no export named 'disk'; `nbdring info --list URI` shows which it has "
            "(ERR_UNKNOWN)");
  server_.join();
  EXPECT_EQ(last, option(nbd::opt_abort));
}

TEST_F(DialTest, NothingInClearPassesForTls) {
  serve([](BlockingClient& peer) {
    peer.send_raw(greeting() + reply(nbd::opt_starttls, nbd::rep_ack) + good_end);
    peer.reads_end();
  });
  const auto client = dialer("nbds");
  const std::string text = failure(*client, FailureKind::refused);
  EXPECT_NE(text.find("was sent in clear behind the agreement on TLS"), std::string::npos) << text;
}

TEST_F(DialTest, WithoutTlsNothingButStarttlsAndAbortIsSent) {
  Bytes sent;
  serve([&sent](BlockingClient& peer) {
    peer.send_raw(greeting() + reply(nbd::opt_starttls, nbd::rep_err_unsup));
    sent = peer.receive_raw(4 + 16 + 16);
    EXPECT_TRUE(peer.reads_end());
  });
  const auto client = dialer("nbds");
  EXPECT_EQ(failure(*client, FailureKind::refused),
            "the server refuses TLS, which is required, so nothing was asked of it (ERR_UNSUP)");
  server_.join();
  EXPECT_EQ(sent, client_flags() + option(nbd::opt_starttls) + option(nbd::opt_abort));
}

TEST_F(DialTest, ATlsHandshakeHasTheSameDeadline) {
  serve([](BlockingClient& peer) {
    peer.send_raw(greeting() + reply(nbd::opt_starttls, nbd::rep_ack));
    EXPECT_FALSE(peer.receive_raw(4 + 16 + 16).empty());
    std::array<char, 65536> hello;  // never answered
    while (::recv(peer.fd(), hello.data(), hello.size(), 0) > 0) continue;
  });
  const auto client = dialer("nbds", milliseconds(300));
  EXPECT_EQ(failure(*client, FailureKind::unreachable),
            "the server did not finish the handshake within 300 ms, the TLS handshake was to come");
}

TEST_F(DialTest, LooksWithoutGoing) {
  serve([](BlockingClient& peer) {
    peer.send_raw(greeting() + no_structured() + told_size(nbd::opt_info) +
                  reply(nbd::opt_info, nbd::rep_ack));
    peer.receive_raw(4 + 16 + 16 + 16 + 4 + 4 + 2 + 8 + 16);
    EXPECT_TRUE(peer.reads_end());
  });
  Loop loop;
  Looked looked;
  const auto client = dialer();
  loop.run(look(loop, *client, Goal::info, looked));
  ASSERT_EQ(looked.exports.size(), 1u);
  EXPECT_EQ(looked.exports[0].about.size, 1u << 20);
  EXPECT_FALSE(looked.transmission.structured_replies);
  EXPECT_FALSE(looked.is_encrypted);
  EXPECT_EQ(log_.text(), "");  // a Unix socket is private: nothing to warn of
}

// A server of ours with TLS, on the other thread's loop.
Task<void> serve_with_tls(Loop& loop, FileDescriptor socket, const TlsCredentials& credentials,
                          bool& was_asked_in_tls) {
  SocketStream lower(loop, std::move(socket));
  StreamDeadline deadline(loop, std::chrono::seconds(20), lower);
  const Export about = disk();
  ServerHandshake handshake(about, {}, TlsPolicy::require);
  TlsStream tls(loop, lower, credentials);
  auto output = handshake.greeting();
  while (handshake.state() == ServerHandshake::State::more) {
    Stream& stream = handshake.is_encrypted() ? static_cast<Stream&>(tls) : lower;
    co_await send_all(loop, stream, output);
    std::array<std::byte, 512> bytes;
    std::array<iovec, 1> buffer{iovec{bytes.data(), std::min(handshake.wanted(), bytes.size())}};
    ssize_t received = stream.receive(buffer);
    while (received == -EAGAIN) {
      co_await stream.readable();
      received = stream.receive(buffer);
    }
    if (received <= 0) co_return;
    auto step = handshake.feed(std::span(bytes).first(static_cast<std::size_t>(received)));
    output = std::move(step.output);
    if (step.state != ServerHandshake::State::start_tls) continue;
    co_await send_all(loop, lower, output);
    output.clear();
    co_await tls.shake_hands();
    handshake.tls_started();
  }
  co_await send_all(loop, tls, output);
  was_asked_in_tls = handshake.state() == ServerHandshake::State::transmission;
  tls.shut_down();
}

TEST_F(DialTest, GoesOverTls) {
  bool was_asked_in_tls = false;
  TlsSettings keys;
  keys.policy = TlsPolicy::require;
  keys.psk_file = folder_ + "/keys";
  const TlsCredentials credentials(TlsCredentials::Side::server, keys);
  server_ = std::thread([&] {
    Loop loop;
    FileDescriptor socket(::accept(listener_.get(), nullptr, nullptr));
    loop.run(serve_with_tls(loop, std::move(socket), credentials, was_asked_in_tls));
  });
  Loop loop;
  Dialled dialled;
  const auto client = dialer("nbds");
  loop.run(dial(loop, *client, dialled));
  server_.join();
  EXPECT_TRUE(was_asked_in_tls);
  EXPECT_NE(dialled.tls, nullptr);
  EXPECT_EQ(dialled.about.description, "a disk");
  EXPECT_TRUE(dialled.transmission.base_allocation);
  EXPECT_EQ(dialled.tls_report.version, "TLS1.3");
}

TEST_F(DialTest, ANameThatIsTooLongIsTheUsersMistake) {
  const auto form = parse_backend_spec("nbd://localhost/" + std::string(4097, 'x')).form;
  EXPECT_THROW(Dialer(form, TlsSettings(), DialOptions(), log_.log()), Failure);
}

}  // namespace
}  // namespace nbdring
