#include "backends/nbd/endpoint.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "backends/nbd/endpoint_kinds.hpp"
#include "client/runtime/error.hpp"
#include "client/transport/connect.hpp"
#include "client/transport/socket.hpp"

namespace nbdring {
namespace {

struct Maker {
  Log& log;

  std::unique_ptr<Endpoint> operator()(const UriSpec& spec) const {
    const std::string& scheme = spec.uri.scheme;
    if (scheme == "nbd" || scheme == "nbds") return make_tcp_endpoint(spec.uri, log);
    if (scheme.ends_with("+unix")) return make_unix_endpoint(spec.uri, log);
    if (scheme.ends_with("+vsock")) return make_vsock_endpoint(spec.uri);
    if (scheme == "nbd+ssh") return make_ssh_endpoint(spec.uri);
    if (scheme == "nbd+ext") return make_command_endpoint(spec.uri);
    throw Failure(FailureKind::usage, to_text(spec) + " is not the URI of an NBD server");
  }
  std::unique_ptr<Endpoint> operator()(const ExecSpec& spec) const {
    return make_exec_endpoint(spec);
  }
  template <typename Local>
  std::unique_ptr<Endpoint> operator()(const Local& spec) const {
    throw Failure(FailureKind::usage, to_text(spec) + " is not the URI of an NBD server");
  }
};

}  // namespace

std::unique_ptr<Endpoint> make_endpoint(const BackendForm& form, Log& log) {
  return std::visit(Maker{log}, form);
}

std::unique_ptr<Stream> stream_over(Loop& loop, FileDescriptor socket) {
  return std::make_unique<SocketStream>(loop, std::move(socket));
}

void fail_unreachable(const std::string& endpoint, const std::string& why) {
  throw Failure(FailureKind::unreachable, "cannot reach " + endpoint + ": " + why);
}

std::string words_of(int error) {
  std::string words = error_text(error);
  if (words.size() > 1 && words[1] >= 'a' && words[1] <= 'z' && words[0] >= 'A' && words[0] <= 'Z')
    words[0] = static_cast<char>(words[0] - 'A' + 'a');
  return words;
}

std::string current_folder() {
  std::error_code none;
  return std::filesystem::current_path(none).string();
}

Task<int> wait_first_byte(Loop& loop, int socket, Clock::time_point deadline) {
  const WaitDeadline limit(loop, deadline, socket);
  const int events = co_await loop.readable(socket);
  if (events == -ECANCELED) co_return ETIMEDOUT;
  char byte = 0;
  const ssize_t bytes = ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (bytes < 0) co_return errno;
  co_return bytes == 0 ? ECONNRESET : 0;
}

std::string why_silent(const Process& child, int error) {
  const std::string words = child.last_words();
  if (error != ETIMEDOUT) return words.empty() ? words_of(error) : words;
  return "no greeting in time" + (words.empty() ? "" : ": " + words);
}

Task<void> wait_last_words(Loop& loop, const Process& process) {
  constexpr std::chrono::milliseconds not_for_long{1000};
  // A copy: others of this loop may wait for the same end, and a deadline ends every wait on a
  // descriptor.
  const FileDescriptor ended(::fcntl(process.ended_fd(), F_DUPFD_CLOEXEC, 0));
  if (!ended.is_open()) co_return;
  const WaitDeadline limit(loop, Clock::now() + not_for_long, ended.get());
  co_await loop.readable(ended.get());
}

}  // namespace nbdring
