#include "backends/nbd/endpoint.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <thread>
#include <vector>

#include "backends/nbd/endpoint_kinds.hpp"
#include "client/protocol/backend_spec.hpp"
#include "client/runtime/error.hpp"
#include "client/transport/connect.hpp"
#include "client/transport/socket.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

class EndpointTest : public testing::Test {
 protected:
  EndpointTest() {
    std::string path =
        (std::filesystem::temp_directory_path() / "nbdring-endpoint.XXXXXX").string();
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
    log_file_.reset(::open((folder_ + "/log").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    log_ = std::make_unique<Log>(LogLevel::warning, LogFormat::text, log_file_.get());
  }
  ~EndpointTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Endpoint> make(const std::string& text) {
    return make_endpoint(parse_backend_spec(text).form, *log_);
  }

  static Task<void> connect(Loop& loop, Endpoint& endpoint, milliseconds time,
                            std::unique_ptr<Stream>& stream) {
    stream = co_await endpoint.connect(loop, Clock::now() + time);
  }
  // The connection itself, which outlives the loop that it was made on.
  static FileDescriptor connect(Endpoint& endpoint, milliseconds time = milliseconds(10'000)) {
    Loop loop;
    std::unique_ptr<Stream> stream;
    loop.run(connect(loop, endpoint, time, stream));
    const int socket = dynamic_cast<SocketStream&>(*stream).descriptor();
    return FileDescriptor(::fcntl(socket, F_DUPFD_CLOEXEC, 0));
  }
  static std::string failure(Endpoint& endpoint, milliseconds time = milliseconds(10'000)) {
    try {
      connect(endpoint, time);
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::unreachable) << failure.what();
      return failure.what();
    }
    return "none";
  }

  std::string script(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << "#!/bin/sh\n" << text << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }
  std::string contents(const std::string& name) {
    std::ifstream file(folder_ + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string folder_;
  FileDescriptor log_file_;
  std::unique_ptr<Log> log_;
};

FileDescriptor listen_at(SocketAddress& address, int backlog = 8) {
  FileDescriptor listener(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto* raw = reinterpret_cast<sockaddr*>(&address.storage);
  EXPECT_EQ(::bind(listener.get(), raw, address.length), 0);
  EXPECT_EQ(::listen(listener.get(), backlog), 0);
  EXPECT_EQ(::getsockname(listener.get(), raw, &address.length), 0);
  return listener;
}

// 127.0.0.LAST
SocketAddress loopback(std::uint16_t port = 0, std::uint32_t last = 1) {
  SocketAddress address;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl((INADDR_LOOPBACK & 0xffffff00) + last);
  address.length = sizeof v4;
  return address;
}

std::string port_of(const SocketAddress& address) {
  return std::to_string(ntohs(reinterpret_cast<const sockaddr_in&>(address.storage).sin_port));
}

int option(const FileDescriptor& socket, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  EXPECT_EQ(::getsockopt(socket.get(), level, name, &value, &length), 0);
  return value;
}

std::string received(const FileDescriptor& socket) {
  std::array<char, 256> buffer;
  const ssize_t bytes = ::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  return std::string(buffer.data(), bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
}

TEST_F(EndpointTest, TextsAndWhatIsKnownBeforehand) {
  struct Case {
    std::string uri, text;
    bool is_private, reaches_one_server;
  };
  for (const Case& c : std::vector<Case>{
           {"nbd://nas/x", "nas:10809", false, true},
           {"nbds://nas:1/x", "nas:1", false, true},
           {"nbd:///x", "localhost:10809", true, true},
           {"nbd://[::1]:5/x", "[::1]:5", true, true},
           {"nbd://[2001:db8::1]/x", "[2001:db8::1]:10809", false, true},
           {"nbd+unix:///x?socket=/run/s", "the socket /run/s", true, true},
           {"nbd+unix:///x?socket=s",
            "the socket " + std::filesystem::current_path().string() + "/s", true, true},
           {"nbd+unix:///x?socket=%00s", "the abstract socket @s", true, true},
           {"nbd+vsock:///x", "vsock 2:10809", true, true},
           {"nbds+vsock://1:7/x", "vsock 1:7", true, true},
           {"nbd+ssh://a@nas/x?socket=/s", "the socket /s on nas by ssh", true, true},
           {"nbd+ext:///x?command=socat%20-", "the command socat -", true, false},
           {"exec:nbdkit memory 1G", "the server nbdkit memory 1G", true, true}}) {
    const auto endpoint = make(c.uri);
    EXPECT_EQ(endpoint->text(), c.text);
    EXPECT_EQ(endpoint->is_private(), c.is_private) << c.uri;
    EXPECT_EQ(endpoint->reaches_one_server(), c.reaches_one_server) << c.uri;
  }
  EXPECT_THROW(make("ws://h/"), Failure);
  EXPECT_THROW(make("memory:1M"), Failure);
  EXPECT_THROW(make("nbd+unix:///?socket=/" + std::string(107, 'x')), Failure);
}

TEST_F(EndpointTest, TcpIsSetUp) {
  SocketAddress address = loopback();
  const FileDescriptor listener = listen_at(address);
  const auto endpoint = make("nbd://127.0.0.1:" + port_of(address) + "/");
  const FileDescriptor socket = connect(*endpoint);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option(socket, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPIDLE), 10);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPINTVL), 5);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPCNT), 3);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT), 30'000);
}

TEST_F(EndpointTest, TcpSaysWhyNot) {
  SocketAddress address = loopback();
  listen_at(address).reset();
  const std::string port = port_of(address);
  EXPECT_EQ(failure(*make("nbd://127.0.0.1:" + port + "/")),
            "cannot reach 127.0.0.1:" + port + ": connection refused");
  // Each address of the name; which ones it has is the machine's affair.
  const std::string named = failure(*make("nbd://localhost:" + port + "/"));
  EXPECT_TRUE(named.starts_with("cannot reach localhost:" + port + ": ")) << named;
  EXPECT_NE(named.find("127.0.0.1 connection refused"), std::string::npos) << named;
  EXPECT_TRUE(failure(*make("nbd://nbdring-nobody.invalid/"))
                  .starts_with("cannot reach nbdring-nobody.invalid:10809: "));
}

// A name with two machines behind it: the connections of a device stay with one as long as it is
// there, whatever order the name service has them in.
TEST_F(EndpointTest, TcpStaysWithTheAddressThatServed) {
  SocketAddress first = loopback();
  FileDescriptor first_listener = listen_at(first);
  const std::string port = port_of(first);
  SocketAddress second = loopback(static_cast<std::uint16_t>(std::stoi(port)), 2);
  const FileDescriptor second_listener = listen_at(second);
  std::vector<SocketAddress> answer{first, second};
  const auto endpoint = make_tcp_endpoint(parse_uri("nbd://nas:" + port + "/"), *log_,
                                          [&answer](const std::string&, std::uint16_t) {
                                            return Resolution{answer, ""};
                                          });
  const auto peer = [](const FileDescriptor& socket) {
    SocketAddress address;
    address.length = sizeof address.storage;
    ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address.storage), &address.length);
    return address.text();
  };
  EXPECT_EQ(peer(connect(*endpoint)), "127.0.0.1");
  std::swap(answer[0], answer[1]);
  EXPECT_EQ(peer(connect(*endpoint)), "127.0.0.1");
  EXPECT_EQ(contents("log"), "");
  first_listener.reset();
  EXPECT_EQ(peer(connect(*endpoint)), "127.0.0.2");
  EXPECT_NE(contents("log").find("nas:" + port +
                                 " is now reached at 127.0.0.2, before it was at 127.0.0.1"),
            std::string::npos)
      << contents("log");
}

TEST_F(EndpointTest, UnixSaysWhyNot) {
  EXPECT_EQ(failure(*make("nbd+unix:///?socket=/nbdring-none")),
            "cannot reach the socket /nbdring-none: no such file or directory");
  SocketAddress address = SocketAddress::of_unix(folder_ + "/s");
  const FileDescriptor listener = listen_at(address, 0);
  const auto endpoint = make("nbd+unix:///?socket=" + folder_ + "/s");
  const FileDescriptor first = connect(*endpoint);
  EXPECT_EQ(failure(*endpoint, milliseconds(200)),
            "cannot reach the socket " + folder_ + "/s: connection timed out");
  EXPECT_EQ(contents("log"), "");
}

TEST_F(EndpointTest, WarnsOfAnotherUsersSocketOnce) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be two users";
  SocketAddress address = SocketAddress::of_unix(folder_ + "/s");
  FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address.storage), address.length),
            0);
  ASSERT_EQ(::seteuid(65534), 0);  // listen(2) notes who listens
  const int result = ::listen(listener.get(), 8);
  ASSERT_EQ(::seteuid(0), 0);
  ASSERT_EQ(result, 0);
  const auto endpoint = make("nbd+unix:///?socket=" + folder_ + "/s");
  const FileDescriptor first = connect(*endpoint);
  const FileDescriptor second = connect(*endpoint);
  const std::string log = contents("log");
  EXPECT_NE(log.find("runs as user 65534"), std::string::npos) << log;
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1);
}

TEST_F(EndpointTest, SshIsCalledWithoutAShellInBetween) {
  const std::string ssh =
      script("ssh", "for a; do echo \"$a\"; done >" + folder_ + "/argv; printf NBDMAGIC; cat");
  const auto endpoint = make(
      "nbd+ssh://al%24ce@nas:2222/x?socket=/run/a%20'b&netcat=/opt/my%20nc&keyfile=/k&command=" +
      ssh);
  const FileDescriptor socket = connect(*endpoint);
  EXPECT_EQ(received(socket), "NBDMAGIC");
  EXPECT_EQ(contents("argv"),
            "-T\n-o\nBatchMode=yes\n-p\n2222\n-l\nal$ce\n-i\n/k\n--\nnas\n"
            "'/opt/my nc' -U '/run/a '\\''b'\n");
}

TEST_F(EndpointTest, SshHasDefaults) {
  const std::string ssh = script("ssh", "echo \"$@\" >" + folder_ + "/argv; printf N; cat");
  connect(*make("nbd+ssh://nas/?socket=/s&command=" + ssh));
  EXPECT_EQ(contents("argv"), "-T -o BatchMode=yes -- nas 'nc' -U '/s'\n");
}

TEST_F(EndpointTest, CommandsThatDieSayTheirLastWords) {
  const std::string ssh = script("ssh", "echo 'Permission denied (publickey).' >&2; exit 255");
  EXPECT_EQ(failure(*make("nbd+ssh://nas/?socket=/s&command=" + ssh)),
            "cannot reach the socket /s on nas by ssh: ssh: Permission denied (publickey). (exit "
            "status 255)");
  const std::string named = script("ssh-named", "echo 'ssh: no route' >&2; exit 255");
  EXPECT_EQ(failure(*make("nbd+ssh://nas/?socket=/s&command=" + named)),
            "cannot reach the socket /s on nas by ssh: ssh: no route (exit status 255)");
  EXPECT_EQ(failure(*make("nbd+ext:///?command=true")),
            "cannot reach the command true: true: exit status 0");
  EXPECT_EQ(
      failure(*make("nbd+ext:///?command=echo%20waiting%20%3E%262%3Bsleep%2060"),
              milliseconds(300)),
      "cannot reach the command echo waiting >&2;sleep 60: echo: no greeting in time: waiting");
  EXPECT_EQ(failure(*make("nbd+ssh://nas/?socket=/s&command=/nbdring-none")),
            "cannot reach the socket /s on nas by ssh: ssh: cannot run /nbdring-none: No such file "
            "or directory");
}

TEST_F(EndpointTest, CommandIsTheShells) {
  const auto endpoint = make("nbd+ext:///?command=x=NBD%3B%20printf%20%24x%20%26%26%20cat");
  const FileDescriptor socket = connect(*endpoint);
  EXPECT_EQ(received(socket), "NBD");
}

// A server that answers each connection with a word; its number of starts is in the file `starts`.
constexpr const char* server = R"(
import os, socket, sys
assert os.environ['LISTEN_PID'] == str(os.getpid()), 'LISTEN_PID'
assert os.environ['LISTEN_FDS'] == '1'
open('starts', 'a').write('x')
listener = socket.socket(fileno=3)
open('path', 'w').write(listener.getsockname())
kept = []
while True:
    connection, _ = listener.accept()
    connection.send(b'NBDMAGIC')
    kept.append(connection)
    if os.path.exists('die'):
        sys.exit(7)
)";

class ExecTest : public EndpointTest {
 protected:
  ExecTest() : before_(std::filesystem::current_path()) {
    std::ofstream(folder_ + "/server.py") << server;
    std::filesystem::current_path(folder_);
    // A relative name, and the process goes elsewhere: as the engine does.
    endpoint_ = make("exec:/usr/bin/python3 server.py");
    std::filesystem::current_path("/");
  }
  ~ExecTest() override { std::filesystem::current_path(before_); }

  std::filesystem::path before_;
  std::unique_ptr<Endpoint> endpoint_;
};

TEST_F(ExecTest, StartsOnceForManyConnections) {
  EXPECT_EQ(contents("starts"), "");
  std::vector<FileDescriptor> sockets(4);
  std::vector<std::thread> threads;
  for (FileDescriptor& socket : sockets)
    threads.emplace_back([this, &socket] { socket = connect(*endpoint_); });
  for (std::thread& thread : threads) thread.join();
  for (const FileDescriptor& socket : sockets) EXPECT_EQ(received(socket), "NBDMAGIC");
  EXPECT_EQ(contents("starts"), "x");

  const std::string path = contents("path");
  struct stat folder {};
  ASSERT_EQ(::stat(std::filesystem::path(path).parent_path().c_str(), &folder), 0);
  EXPECT_EQ(folder.st_mode & 07777, 0700u);
  endpoint_.reset();
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(path).parent_path()));
  std::array<char, 16> byte;
  for (const FileDescriptor& socket : sockets)  // the server is gone
    EXPECT_EQ(::recv(socket.get(), byte.data(), byte.size(), 0), 0);
}

TEST_F(ExecTest, StartsAgainWhenItHasDied) {
  std::ofstream(folder_ + "/die") << "";
  const FileDescriptor first = connect(*endpoint_);
  EXPECT_EQ(received(first), "NBDMAGIC");
  pollfd gone{first.get(), 0, 0};
  ASSERT_EQ(::poll(&gone, 1, 10'000), 1);
  std::filesystem::remove(folder_ + "/die");
  FileDescriptor second;
  for (int i = 0; i < 100 && !second.is_open(); ++i) {
    try {
      second = connect(*endpoint_);
    } catch (const Failure&) {  // it is about to end
    }
  }
  ASSERT_TRUE(second.is_open());
  EXPECT_EQ(contents("starts"), "xx");
}

TEST_F(ExecTest, SaysWhyTheServerDidNotStart) {
  EXPECT_EQ(failure(*make("exec:sh -c 'echo no such plugin >&2; exit 1'")),
            "cannot reach the server sh -c 'echo no such plugin >&2; exit 1': no such plugin (exit "
            "status 1)");
  const std::string missing = failure(*make("exec:nbdring-none"));
  EXPECT_NE(missing.find("nbdring-none: not found (exit status 127)"), std::string::npos)
      << missing;
}

TEST_F(ExecTest, EndsAtTheDeadline) {
  EXPECT_EQ(failure(*make("exec:sleep 60"), milliseconds(200)),
            "cannot reach the server sleep 60: no greeting in time");
}

}  // namespace
}  // namespace nbdring
