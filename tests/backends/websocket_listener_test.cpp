// What the gateway's front door answers, to whom.

#include <sys/socket.h>

#include "backends/websocket/static_files.hpp"
#include "tests/support/listener_fixture.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

TEST_F(ListenerTest, ServesThePageWithAStrictPolicy) {
  start();
  const HttpReply reply = get("/");
  EXPECT_EQ(reply.status, 200U);
  EXPECT_TRUE(reply.has("content-type: text/html; charset=utf-8\r\n"));
  EXPECT_TRUE(reply.has("content-security-policy: default-src 'none'; script-src 'self';"));
  EXPECT_TRUE(reply.has("x-content-type-options: nosniff\r\n"));
  EXPECT_TRUE(reply.has("connection: close\r\n"));
  ASSERT_NE(find_static_file("/"), nullptr);
  EXPECT_EQ(reply.body, find_static_file("/")->bytes);
  EXPECT_FALSE(reply.body.empty());
}

TEST_F(ListenerTest, AFileThatTheBrowserHasIsNotSentAgain) {
  start();
  const StaticFile& page = *find_static_file("/");
  EXPECT_TRUE(get("/").has("cache-control: no-cache\r\n"));
  const HttpReply known = get("/", "If-None-Match: \"other\", " + page.etag + "\r\n");
  EXPECT_EQ(known.status, 304U);
  EXPECT_EQ(known.body, "");
  EXPECT_EQ(get("/", "If-None-Match: \"other\"\r\n").status, 200U);
}

TEST_F(ListenerTest, HeadHasTheLengthAndNoBody) {
  start();
  const HttpReply reply = ask("HEAD / HTTP/1.1\r\nHost: nas\r\n\r\n");
  EXPECT_EQ(reply.status, 200U);
  EXPECT_EQ(reply.body, "");
  const auto length = std::to_string(find_static_file("/")->bytes.size());
  EXPECT_TRUE(reply.has("content-length: " + length + "\r\n"));
}

TEST_F(ListenerTest, EveryFileOfThePageHasATypeThatABrowserRuns) {
  for (const StaticFile& file : static_files()) {
    EXPECT_NE(file.type, "application/octet-stream") << file.path;
    EXPECT_FALSE(file.bytes.empty()) << file.path;
    EXPECT_EQ(find_static_file(file.path), &file);
  }
}

TEST_F(ListenerTest, SaysWhatIsNotThereAndWhatCannotBeDone) {
  start();
  EXPECT_EQ(get("/nothing").status, 404U);
  EXPECT_EQ(get("/api/nothing").status, 404U);
  EXPECT_EQ(ask("POST / HTTP/1.1\r\nHost: nas\r\nContent-Length: 0\r\n\r\n").status, 405U);
  EXPECT_EQ(get("/api/login").status, 405U);
  const HttpReply upgrade = get("/0");
  EXPECT_EQ(upgrade.status, 426U);
  EXPECT_TRUE(upgrade.has("upgrade: websocket\r\n"));
}

const char* const login = "POST /api/login?configuration=0 HTTP/1.1\r\nHost: nas\r\n";

TEST_F(ListenerTest, ALoginIsGrantedOrDeniedAndNeverSaysWhy) {
  grant("id:secret");
  start();
  const HttpReply granted = ask(std::string(login) + "Authorization: Bearer id:secret\r\n\r\n");
  ASSERT_EQ(granted.status, 200U);
  EXPECT_TRUE(granted.has("cache-control: no-store\r\n"));
  const auto fields = nlohmann::json::parse(granted.body);
  EXPECT_EQ(fields["configuration"], "0");
  EXPECT_EQ(fields["path"], "/0");
  EXPECT_EQ(fields["next_token"], "next:secret");
  EXPECT_TRUE(sessions_.is_live(fields["session"].get<std::string>()));

  const HttpReply without = ask(std::string(login) + "\r\n");
  EXPECT_EQ(without.status, 401U);
  EXPECT_TRUE(without.has("www-authenticate: bearer\r\n"));
  const HttpReply wrong = ask(std::string(login) + "Authorization: Bearer id:wrong\r\n\r\n");
  EXPECT_EQ(wrong.status, 403U);
  EXPECT_EQ(without.body, "{\"error\":\"access denied\"}\n");
  EXPECT_EQ(wrong.body, without.body);
  EXPECT_EQ(log_.text().find("error"), std::string::npos) << "refused is not failed";
}

TEST_F(ListenerTest, AnAuthenticatorThatFailsIsOurErrorAndTellsNobodyItsReason) {
  authenticator_.answer = [](const Presented&) -> Verdict {
    throw Failure(FailureKind::failed, "cannot read /secret/place");
  };
  start();
  const HttpReply reply = ask(std::string(login) + "Authorization: Bearer id:secret\r\n\r\n");
  EXPECT_EQ(reply.status, 500U);
  EXPECT_EQ(reply.body.find("/secret/place"), std::string::npos);
  EXPECT_NE(log_.text().find("cannot read /secret/place"), std::string::npos);
}

TEST_F(ListenerTest, AnAuthenticatorThatIsStuckHoldsNobodyElseUp) {
  options_.grant_time = milliseconds(200);
  std::promise<void> gate;
  authenticator_.answer = [open = gate.get_future().share()](const Presented&) -> Verdict {
    open.wait();
    return Denied{};
  };
  start();
  const FileDescriptor stuck = connect();
  const std::string request = std::string(login) + "\r\n";
  ::send(stuck.get(), request.data(), request.size(), 0);
  EXPECT_EQ(get("/").status, 200U);
  EXPECT_EQ(reply_of(receive_all(stuck.get())).status, 500U);
  gate.set_value();
}

TEST_F(ListenerTest, AnotherSitesPageCannotLogIn) {
  grant("id:secret");
  start();
  const std::string bearer = "Authorization: Bearer id:secret\r\n";
  EXPECT_EQ(ask(login + bearer + "Origin: http://evil.example\r\n\r\n").status, 403U);
  EXPECT_EQ(authenticator_.asked, 0U);
  EXPECT_EQ(ask(login + bearer + "Origin: http://nas\r\n\r\n").status, 200U);
}

TEST_F(ListenerTest, TellsHowASessionStandsToWhoeverHasItsKey) {
  start();
  EXPECT_EQ(get("/api/session").status, 401U);
  EXPECT_EQ(get("/api/session", "Authorization: Bearer-Session dead\r\n").status, 404U);
  const HttpReply reply = get("/api/session", "Authorization: Bearer-Session live\r\n");
  EXPECT_EQ(reply.status, 200U);
  EXPECT_EQ(nlohmann::json::parse(reply.body)["state"], "serving");
}

TEST_F(ListenerTest, AWebsocketIsLetInWithATokenAsItsSubprotocol) {
  grant("id:secret");
  start();
  const FileDescriptor client = connect();
  const std::string request = upgrade("/vm/0/0/?image=abc&connections=3",
                                      "Sec-WebSocket-Protocol: other, nbd.token.id.secret\r\n");
  ::send(client.get(), request.data(), request.size(), 0);
  ASSERT_TRUE(eventually([&] { return host_.peers->standing().connections == 1; }));
  EXPECT_EQ(host_.peers->connections(), 3U);
  EXPECT_EQ(host_.peers->standing().who, "alice");
  EXPECT_EQ(listener_->connections(), 1U);
  host_.peers->close(4000, "detached");
  const std::string text = receive_all(client.get());
  const HttpReply reply = reply_of(text);
  EXPECT_EQ(reply.status, 101U);
  EXPECT_TRUE(reply.has("sec-websocket-protocol: nbd.token.id.secret\r\n"));
  EXPECT_TRUE(reply.has("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"));
  EXPECT_TRUE(reply.has("nbdring-next-token: next:secret\r\n"));
  EXPECT_TRUE(reply.has("nbdring-session: "));
  EXPECT_EQ(reply.body.substr(0, 4), std::string("\x88\x0a\x0f\xa0", 4)) << "close, 4000";
  EXPECT_TRUE(eventually([&] { return listener_->connections() == 0; }));
}

TEST_F(ListenerTest, AWebsocketIsRefusedWithTheReason) {
  grant("id:secret");
  start();
  const std::string token = "Authorization: Bearer id:secret\r\n";
  EXPECT_EQ(ask(upgrade("/nothing", token)).status, 404U);
  EXPECT_EQ(ask(upgrade("/0")).status, 401U);
  EXPECT_EQ(ask(upgrade("/0", "Sec-WebSocket-Protocol: nbd.token.id.wrong\r\n")).status, 403U);
  EXPECT_EQ(ask(upgrade("/0", token + "Origin: http://evil.example\r\n")).status, 403U);
  EXPECT_EQ(sessions_.count(), 0U);
  host_.is_taken = true;
  const HttpReply taken = ask(upgrade("/0", token));
  EXPECT_EQ(taken.status, 409U);
  EXPECT_NE(taken.body.find("another peer has the session"), std::string::npos);
  EXPECT_TRUE(eventually([&] { return sessions_.count() == 0; })) << "the token is good again";
}

TEST_F(ListenerTest, ASecondWebsocketOfAPeerOfOneIsRefusedWhileTheFirstAnswers) {
  PeersOptions options;
  options.answer_time = milliseconds(100);
  host_.peers = Peers::make(options);
  grant("id:secret");
  start();
  const FileDescriptor first = connect();
  const std::string request = upgrade("/0", "Authorization: Bearer id:secret\r\n");
  ::send(first.get(), request.data(), request.size(), 0);
  ASSERT_TRUE(eventually([&] { return host_.peers->standing().connections == 1; }));
  std::atomic<bool> is_over{false};
  // Any bytes are a sign of life: pongs, here.
  std::thread alive([&] {
    while (!is_over) {
      ::send(first.get(), "\x8a\x80\0\0\0\0", 6, MSG_NOSIGNAL);
      std::this_thread::sleep_for(milliseconds(20));
    }
  });
  EXPECT_EQ(ask(request).status, 409U);
  is_over = true;
  alive.join();
  const FileDescriptor second = connect();
  ::send(second.get(), request.data(), request.size(), 0);
  EXPECT_TRUE(eventually([&] { return host_.peers->standing().returns == 1; }));
}

}  // namespace
}  // namespace nbdring
