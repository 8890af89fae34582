// What a websocket client says, and its token: which parts of a URI are whose, the file, and that
// one token is never shown twice.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>
#include <vector>

#include "backends/websocket/client_credential.hpp"
#include "backends/websocket/client_target.hpp"
#include "backends/websocket/client_token.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

TEST(ClientTarget, EachPartOfTheUriHasItsReader) {
  struct Case {
    std::string uri, authority, target, text;
    std::uint32_t port;
  };
  for (const Case& c : std::vector<Case>{
           {"ws://nas", "nas", "/", "ws://nas", 80},
           {"wss://nas/", "nas", "/", "wss://nas/", 443},
           {"ws://nas:80/a%20b/?x=%26&y", "nas", "/a%20b/?x=%26&y", "ws://nas/a%20b/?x=%26&y", 80},
           {"wss://nas:80/", "nas:80", "/", "wss://nas:80/", 80},
           {"ws://nas?x=1", "nas", "/?x=1", "ws://nas?x=1", 80},
           {"ws://[::1]:8080/v", "[::1]:8080", "/v", "ws://[::1]:8080/v", 8080},
           {"ws://[fe80::1%25eth0]/v", "[fe80::1]", "/v", "ws://[fe80::1%25eth0]/v", 80},
           {"wss://alice@nas/v?tls-psk-file=/k&x=1&export=e&token-file=/t&tls-hostname=n", "nas",
            "/v?x=1", "wss://nas/v?x=1", 443}}) {
    const ClientTarget client = client_target_of(parse_uri(c.uri));
    EXPECT_EQ(client.authority, c.authority) << c.uri;
    EXPECT_EQ(client.target, c.target) << c.uri;
    EXPECT_EQ(client.text, c.text) << c.uri;
    EXPECT_EQ(client.server.port, c.port) << c.uri;
  }
  EXPECT_EQ(client_target_of(parse_uri("ws://h/?token-file=/t")).token_file, "/t");
  EXPECT_EQ(client_target_of(parse_uri("ws://[fe80::1%25eth0]/")).server.host, "fe80::1%eth0");
}

class ClientTokenTest : public testing::Test {
 protected:
  ClientTokenTest() {
    std::string path = (std::filesystem::temp_directory_path() / "nbdring-token.XXXXXX").string();
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
    path_ = folder_ + "/token";
    write("id:secret\n");
  }
  ~ClientTokenTest() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& text, ::mode_t mode = 0600) {
    std::ofstream(path_) << text;
    ::chmod(path_.c_str(), mode);
  }
  std::string content() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  FailureKind read_failure() const {
    try {
      read_client_token(path_);
    } catch (const Failure& failure) {
      EXPECT_NE(std::string(failure.what()).find(path_), std::string::npos) << failure.what();
      EXPECT_EQ(std::string(failure.what()).find("secret"), std::string::npos) << failure.what();
      return failure.kind();
    }
    return FailureKind::failed;
  }

  std::string folder_;
  std::string path_;
};

TEST_F(ClientTokenTest, IsOneLineForItsOwner) {
  EXPECT_EQ(read_client_token(path_), "id:secret");
  for (const std::string text :
       {"", "\n", "secret", ":secret", "id:", "id:secret\nid:secret", "id: secret",
        "id:secr\x7f"
        "et"}) {
    write(text);
    EXPECT_EQ(read_failure(), FailureKind::usage) << text;
  }
  write("id:" + std::string(1021, 'x'));
  EXPECT_EQ(read_client_token(path_).size(), 1024u);
  write("id:" + std::string(1022, 'x'));
  EXPECT_EQ(read_failure(), FailureKind::usage);
  write("id:secret", 0640);
  EXPECT_EQ(read_failure(), FailureKind::refused);
  std::filesystem::remove(path_);
  EXPECT_EQ(read_failure(), FailureKind::usage);
}

TEST_F(ClientTokenTest, ItsSuccessorTakesItsPlaceAsAWhole) {
  struct stat before {};
  ASSERT_EQ(::stat(path_.c_str(), &before), 0);
  replace_client_token(path_, "next:one");
  EXPECT_EQ(content(), "next:one\n");
  struct stat after {};
  ASSERT_EQ(::stat(path_.c_str(), &after), 0);
  EXPECT_NE(before.st_ino, after.st_ino);  // nobody ever saw half of it
  EXPECT_EQ(after.st_mode & 07777, 0600u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(ClientTokenTest, WithoutRoomTheOldOneStays) {
  EXPECT_THROW(replace_client_token(folder_ + "/none/token", "next:one"), Failure);
  std::filesystem::create_directory(folder_ + "/folder");
  EXPECT_THROW(replace_client_token(folder_ + "/folder", "next:one"), Failure);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2);
}

// A server that takes each token once: what is shown is its last successor, whoever shows it.
Task<void> use(Loop& loop, ClientCredential& credential, std::vector<std::string>& shown,
               const std::string& session) {
  const auto deadline = Clock::now() + std::chrono::seconds(20);
  const bool is_our_turn = co_await credential.wait_turn(loop, deadline);
  EXPECT_TRUE(is_our_turn);
  const ClientCredential::Turn turn(credential);
  const std::string token = co_await credential.token(loop, deadline);
  shown.push_back(token);  // only with the turn: no other thread is here
  const std::string next = "id:" + std::to_string(shown.size());
  co_await loop.sleep(std::chrono::milliseconds(2));
  co_await credential.keep(loop, next, session, deadline);
}

TEST_F(ClientTokenTest, ThreadsShowEachTokenOnce) {
  ClientCredential credential(path_);
  std::vector<std::string> shown;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      Loop loop;
      for (int n = 0; n < 5; ++n) loop.run(use(loop, credential, shown, ""));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shown.size(), 20u);
  EXPECT_EQ(std::set<std::string>(shown.begin(), shown.end()).size(), 20u);
  EXPECT_EQ(shown.front(), "id:secret");
  EXPECT_EQ(content(), "id:20\n");
}

TEST_F(ClientTokenTest, ASessionIsKnownUntilItIsForgotten) {
  ClientCredential credential(path_);
  EXPECT_EQ(credential.session(), "");
  Loop loop;
  std::vector<std::string> shown;
  loop.run(use(loop, credential, shown, "key"));
  EXPECT_EQ(credential.session(), "key");
  credential.forget("another");
  EXPECT_EQ(credential.session(), "key");
  credential.forget("key");
  EXPECT_EQ(credential.session(), "");
}

Task<void> wait_in_vain(Loop& loop, ClientCredential& credential) {
  const bool first = co_await credential.wait_turn(loop, Clock::now());
  EXPECT_TRUE(first);
  const ClientCredential::Turn turn(credential);
  const auto deadline = Clock::now() + std::chrono::milliseconds(50);
  const bool second = co_await credential.wait_turn(loop, deadline);
  EXPECT_FALSE(second);
}

TEST_F(ClientTokenTest, NobodyWaitsForTheTurnForEver) {
  ClientCredential credential(path_);
  Loop loop;
  loop.run(wait_in_vain(loop, credential));
}

Task<void> fail_to_read(Loop& loop, ClientCredential& credential, FailureKind& kind) {
  try {
    const std::string token =
        co_await credential.token(loop, Clock::now() + std::chrono::seconds(10));
  } catch (const Failure& failure) {
    kind = failure.kind();
  }
}

TEST_F(ClientTokenTest, WhatBecameOfTheFileIsToldWhenItIsUsed) {
  ClientCredential credential(path_);
  write("id:secret", 0644);
  FailureKind kind = FailureKind::failed;
  Loop loop;
  loop.run(fail_to_read(loop, credential, kind));
  EXPECT_EQ(kind, FailureKind::refused);
}

}  // namespace
}  // namespace nbdring
