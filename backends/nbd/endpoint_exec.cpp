// An NBD server that is ours: started by socket activation (sd_listen_fds(3)), so that it listens
// from the first moment, and takes as many connections as are wanted.
//
// CMD is one command for /bin/sh, which it replaces ("exec CMD"): LISTEN_PID has to name the
// server itself, and a shell that stays in between would be somebody else.

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <mutex>

#include "backends/nbd/endpoint_kinds.hpp"
#include "client/runtime/error.hpp"
#include "client/transport/connect.hpp"
#include "client/transport/socket.hpp"

namespace nbdring {
namespace {

constexpr std::string_view socket_name = "/nbd";

// Only its owner may enter it (mkdtemp(3): mode 0700), so only its owner can connect.
class PrivateFolder {
 public:
  PrivateFolder() = default;
  ~PrivateFolder() {
    if (path_.empty()) return;
    ::unlink(socket().c_str());
    ::rmdir(path_.c_str());
  }
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;

  void make() {
    if (!path_.empty()) return;
    const char* runtime = ::getenv("XDG_RUNTIME_DIR");
    const std::array<std::string, 3> parents{runtime != nullptr ? runtime : "", "/run", "/tmp"};
    for (const std::string& parent : parents) {
      std::string path = parent + "/nbdring-exec.XXXXXX";
      constexpr std::size_t longest = 107 - socket_name.size();
      if (!parent.starts_with('/') || path.size() > longest) continue;
      if (::mkdtemp(path.data()) == nullptr) continue;
      path_ = std::move(path);
      return;
    }
    fail_errno(FailureKind::failed, "cannot make a private folder in /run or /tmp");
  }
  std::string socket() const { return path_ + std::string(socket_name); }

 private:
  std::string path_;
};

FileDescriptor listen_at(const std::string& path) {
  const SocketAddress address = SocketAddress::of_unix(path);
  ::unlink(path.c_str());  // of a server before
  FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener.is_open() ||
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length) !=
          0 ||
      ::listen(listener.get(), SOMAXCONN) != 0) {
    fail_errno(FailureKind::failed, "cannot listen at " + path);
  }
  return listener;
}

std::string replaced_shell(const std::string& command) {
  const std::size_t begin = command.find_first_not_of(" \t");
  const std::string line = command.substr(begin);
  return line.starts_with("exec ") ? line : "exec " + line;
}

class ExecEndpoint final : public Endpoint {
 public:
  explicit ExecEndpoint(const std::string& command)
      : command_(command), directory_(current_folder()), text_("the server " + command) {}

  Task<std::unique_ptr<Stream>> connect(Loop& loop, Clock::time_point deadline) override {
    const std::shared_ptr<Process> server = running_server();
    const SocketAddress address = SocketAddress::of_unix(folder_.socket());
    FileDescriptor socket;
    int error = co_await connect_to(loop, socket, address, deadline);
    if (error == 0) {
      widen_unix(socket.get());
      error = co_await wait_first_byte(loop, socket.get(), deadline);
    }
    if (error == 0) co_return stream_over(loop, std::move(socket));
    // It ends in this moment, or it lives and answers nobody.
    if (error != ETIMEDOUT) {
      co_await wait_last_words(loop, *server);
    }
    fail_unreachable(text_, why_silent(*server, error));
  }

  // It has still to start.
  std::chrono::milliseconds connect_time() const override { return std::chrono::seconds(30); }
  bool reaches_one_server() const override { return true; }
  bool is_private() const override { return true; }
  const std::string& text() const override { return text_; }

 private:
  std::shared_ptr<Process> running_server() {
    const std::lock_guard lock(mutex_);
    if (server_ && !server_->has_ended()) return server_;
    folder_.make();
    Process::Settings settings;
    settings.arguments = {"/bin/sh", "-c", replaced_shell(command_)};
    settings.directory = directory_;
    settings.listener = listen_at(folder_.socket());
    server_ = std::make_shared<Process>(std::move(settings));
    return server_;
  }

  std::string command_;
  std::string directory_;  // the engine leaves the folder that it was started in
  std::string text_;
  PrivateFolder folder_;
  std::mutex mutex_;
  std::shared_ptr<Process> server_;  // after folder_: ends before it goes
};

}  // namespace

std::unique_ptr<Endpoint> make_exec_endpoint(const ExecSpec& spec) {
  return std::make_unique<ExecEndpoint>(spec.command);
}

}  // namespace nbdring
