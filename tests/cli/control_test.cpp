#include "cli/control.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "cli/listen.hpp"
#include "client/runtime/error.hpp"
#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

TEST(ControlLine, RequestsComeBackAsTheyWere) {
  EXPECT_EQ(to_line(ControlRequest{}), R"({"command":"status"})");
  const ControlRequest forced{ControlRequest::Command::detach, true};
  EXPECT_EQ(to_line(forced), R"({"command":"detach","force":true})");
  const auto parsed = parse_control_request(to_line(forced));
  EXPECT_EQ(parsed.command, ControlRequest::Command::detach);
  EXPECT_TRUE(parsed.force);
}

TEST(ControlLine, ResizeAndUpgradeComeBackAsTheyWere) {
  ControlRequest resize;
  resize.command = ControlRequest::Command::resize;
  EXPECT_EQ(to_line(resize), R"({"command":"resize","force":false})");
  EXPECT_EQ(parse_control_request(to_line(resize)).size, std::nullopt);
  resize.size = std::uint64_t{5} << 40;
  resize.force = true;
  const auto parsed = parse_control_request(to_line(resize));
  EXPECT_EQ(parsed.command, ControlRequest::Command::resize);
  EXPECT_EQ(parsed.size, resize.size);
  EXPECT_TRUE(parsed.force);

  ControlRequest upgrade;
  upgrade.command = ControlRequest::Command::upgrade;
  upgrade.program = "/usr/bin/a \"b\"";
  const auto back = parse_control_request(to_line(upgrade));
  EXPECT_EQ(back.command, ControlRequest::Command::upgrade);
  EXPECT_EQ(back.program, upgrade.program);
}

TEST(ControlLine, RepliesComeBackAsTheyWere) {
  const ControlReply reply{3, "in use: \"x\"\n", R"({"a":[1,2]})"};
  const auto parsed = parse_control_reply(to_line(reply));
  EXPECT_EQ(parsed.exit_code, 3);
  EXPECT_EQ(parsed.error, reply.error);
  EXPECT_EQ(parsed.body, reply.body);
  EXPECT_EQ(to_line(reply).find('\n'), std::string::npos);
}

TEST(ControlLine, HowLongAnEndMayTakeComesBack) {
  const ControlReply reply{0, "", ends_within_body(std::chrono::seconds(7))};
  EXPECT_EQ(ends_within(parse_control_reply(to_line(reply)).body), std::chrono::seconds(7));
  for (const char* body :
       {"", "{}", "7", "[7]", R"({"ends_within":-1})", R"({"ends_within":"7"})"}) {
    EXPECT_EQ(ends_within(body), std::nullopt) << body;
  }
}

TEST(ControlLine, WhatIsNoRequestIsRefused) {
  for (const char* line :
       {"", "{", "null", "[]", "7", "{}", R"({"command":1})", R"({"command":"format"})",
        R"({"command":"detach"})", R"({"command":"detach","force":"yes"})",
        R"({"command":"resize"})", R"({"command":"resize","force":true,"size":-1})",
        R"({"command":"resize","force":true,"size":"7"})", R"({"command":"upgrade"})"}) {
    EXPECT_THROW(parse_control_request(line), Failure) << line;
  }
  EXPECT_THROW(parse_control_reply(R"({"exit":"0"})"), Failure);
}

/// Answers "status", counts what it is asked, and stops the server after "detach".
class Engine final : public ControlHandler {
 public:
  ControlReply handle(const ControlRequest& request) override {
    ++asked;
    if (request.command == ControlRequest::Command::detach) return {0, "", ""};
    return {0, "", R"({"state":"serving"})"};
  }
  void replied(const ControlRequest& request, const ControlReply&) override {
    if (request.command == ControlRequest::Command::detach) server->stop();
  }

  ControlServer* server = nullptr;
  int asked = 0;
};

/// An engine's front end in a thread; the test is its peer. Ends when it is told to detach.
class ControlServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    thread_ = std::thread([this] {
      Loop loop;
      Log log(LogLevel::error, LogFormat::text);
      ControlLimits limits;
      limits.deadline = milliseconds(200);
      limits.connections = 2;
      ControlServer server(loop, engine_, log, limits);
      engine_.server = &server;
      loop.run(server.accept_on(listener_.fd()));
    });
  }
  void TearDown() override {
    ControlConnection last(listener_.path());
    last.ask({ControlRequest::Command::detach, false}, soon());
    thread_.join();
  }

  static Deadline soon() { return Deadline::in(milliseconds(5000)); }

  FileDescriptor connect() {
    FileDescriptor socket = connect_unix(listener_.path());
    EXPECT_TRUE(socket.is_open());
    return socket;
  }
  // All that arrives until the server closes.
  static std::string read_to_end(int socket) {
    timeval patience{5, 0};
    ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::fcntl(socket, F_SETFL, 0);
    std::string text;
    char bytes[512];
    ssize_t count = 0;
    while ((count = ::read(socket, bytes, sizeof bytes)) > 0) text.append(bytes, count);
    EXPECT_EQ(count == 0 || errno == ECONNRESET, true) << "the server did not hang up";
    return text;
  }
  static void say(int socket, const std::string& text) {
    EXPECT_EQ(::send(socket, text.data(), text.size(), MSG_NOSIGNAL), std::ssize(text));
  }

  TemporaryFolder folder_;
  UnixListener listener_{folder_ / "control.sock"};
  Engine engine_;
  std::thread thread_;
};

TEST_F(ControlServerTest, AnswersARequest) {
  ControlConnection connection(listener_.path());
  const auto reply = connection.ask(ControlRequest{}, soon());
  EXPECT_EQ(reply.exit_code, 0);
  EXPECT_EQ(reply.body, R"({"state":"serving"})");
}

TEST_F(ControlServerTest, TakesARequestInPieces) {
  const FileDescriptor peer = connect();
  for (const char c : std::string(R"({"command":"status"})") + "\n") say(peer.get(), {c});
  EXPECT_THAT(read_to_end(peer.get()), ::testing::HasSubstr("serving"));
}

TEST_F(ControlServerTest, AnswersGarbageWithAFailure) {
  const FileDescriptor peer = connect();
  say(peer.get(), "GET / HTTP/1.1\r\n\r\n");
  EXPECT_THAT(read_to_end(peer.get()), ::testing::HasSubstr("\"exit\":1"));
}

TEST_F(ControlServerTest, HangsUpOnALineThatIsTooLong) {
  const FileDescriptor peer = connect();
  say(peer.get(), std::string(8192, 'x'));
  EXPECT_EQ(read_to_end(peer.get()), "");
}

TEST_F(ControlServerTest, HangsUpOnAPeerThatSaysNothing) {
  const FileDescriptor peer = connect();
  EXPECT_EQ(read_to_end(peer.get()), "");
}

TEST_F(ControlServerTest, HangsUpOnAPeerThatStopsInTheMiddle) {
  const FileDescriptor peer = connect();
  say(peer.get(), R"({"command":)");
  EXPECT_EQ(read_to_end(peer.get()), "");
}

TEST_F(ControlServerTest, ServesOthersWhileSomebodyStalls) {
  const FileDescriptor silent = connect();
  ControlConnection connection(listener_.path());
  EXPECT_EQ(connection.ask(ControlRequest{}, soon()).exit_code, 0);
}

TEST_F(ControlServerTest, RefusesMoreConnectionsThanItsLimit) {
  const FileDescriptor first = connect();
  const FileDescriptor second = connect();
  const FileDescriptor third = connect();
  EXPECT_EQ(read_to_end(third.get()), "");
  EXPECT_EQ(read_to_end(first.get()) + read_to_end(second.get()), "");  // and let those two go
}

TEST_F(ControlServerTest, APeerThatLeavesBeforeTheReplyHarmsNobody) {
  {
    const FileDescriptor peer = connect();
    say(peer.get(), R"({"command":"status"})"
                    "\n");
  }
  ControlConnection connection(listener_.path());
  EXPECT_EQ(connection.ask(ControlRequest{}, soon()).exit_code, 0);
}

TEST(ControlConnection, NobodyThereIsAFailure) {
  const TemporaryFolder folder;
  EXPECT_THROW(ControlConnection(folder / "nobody.sock"), Failure);
}

TEST(ControlConnection, AnEngineThatDoesNotAnswerIsAFailureAtTheDeadline) {
  const TemporaryFolder folder;
  const UnixListener mute(folder / "mute.sock");
  ControlConnection connection(mute.path());
  EXPECT_THROW(connection.ask(ControlRequest{}, Deadline::in(milliseconds(50))), Failure);
}

}  // namespace
}  // namespace nbdring
