#pragma once
// A GatewayListener on a thread of its own, with a host and an authenticator that do what a test
// says, and clients that are plain sockets.

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>

#include "backends/websocket/listener.hpp"
#include "tests/support/fixtures.hpp"

namespace nbdring {

class TestAuthenticator final : public Authenticator {
 public:
  Verdict next(const Presented& presented) override {
    const std::lock_guard guard(lock);
    ++asked;
    last = presented;
    return answer(presented);
  }

  std::mutex lock;
  std::function<Verdict(const Presented&)> answer = [](const Presented&) { return Denied{}; };
  Presented last;
  unsigned asked = 0;
};

class TestHost final : public SessionHost {
 public:
  std::optional<std::string> configuration_at(const std::string& path) const override {
    if (path == "/0" || path == "/vm/0/0/") return "0";
    return std::nullopt;
  }
  std::variant<nlohmann::json, HttpError> describe(const Grant& grant) override {
    return nlohmann::json{{"configuration", grant.configuration}, {"path", "/0"}};
  }
  std::optional<nlohmann::json> session_state(const std::string& key) override {
    if (key != "live") return std::nullopt;
    return nlohmann::json{{"state", "serving"}};
  }
  std::variant<std::shared_ptr<Peers>, HttpError> admit(const Grant&, const PeerInfo&) override {
    if (is_taken) return HttpError{409, "another peer has the session"};
    return peers;
  }

  std::atomic<bool> is_taken{false};
  std::shared_ptr<Peers> peers = Peers::make({});
};

struct HttpReply {
  unsigned status = 0;  // 0: the connection ended without an answer
  std::string head;     // in lower case
  std::string body;

  bool has(std::string_view header) const { return head.find(header) != std::string::npos; }
};

class ListenerTest : public testing::Test {
 protected:
  ListenerTest();
  ~ListenerTest() override;

  /// Starts with the options as they are by then.
  void start();
  /// Once; at the latest the destructor does it.
  void stop();
  /// A client's end.
  FileDescriptor connect();
  /// What comes until the end, at most 10 s.
  static std::string receive_all(int socket);
  static HttpReply reply_of(const std::string& text);
  /// Sends the bytes as they are and takes the answer.
  HttpReply ask(std::string_view bytes);
  HttpReply get(const std::string& path, const std::string& headers = "") {
    return ask("GET " + path + " HTTP/1.1\r\nHost: nas\r\n" + headers + "\r\n");
  }
  static std::string upgrade(const std::string& path, const std::string& headers = "");
  void grant(const std::string& token);

  ListenerOptions options_;
  CapturedLog log_;
  TestAuthenticator authenticator_;
  TestHost host_;
  LiveSessions sessions_{LiveSessions::Options{}, log_.log()};
  GatewayListener* listener_ = nullptr;

 private:
  class Job;

  void post(std::function<void()> what);
  void run(std::promise<void> started);

  Loop* loop_ = nullptr;
  std::thread thread_;
};

}  // namespace nbdring
