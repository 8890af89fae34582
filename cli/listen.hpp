#pragma once
// Sockets that listen: for the clients of `nbdring serve` and for the control socket of a device.
// Start-up code: failures are Failure exceptions that name the address.

#include <sys/stat.h>

#include <string>
#include <vector>

#include "cli/values.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

/// A Unix socket that listens, mode 0600. A socket file that nobody listens on any more is
/// replaced. The destructor removes the file, unless somebody has put another one in its place.
class UnixListener {
 public:
  /// What becomes of a socket file that is there already.
  enum class Taken {
    refuse_or_remove,  // Failure where somebody listens on it
    replace,           // whoever has it is to lose it; nobody finds no socket meanwhile
  };
  explicit UnixListener(const std::string& path, Taken taken = Taken::refuse_or_remove);
  ~UnixListener();
  UnixListener(UnixListener&& other) noexcept = default;
  UnixListener& operator=(UnixListener&&) = delete;

  int fd() const { return socket_.get(); }
  const std::string& path() const { return path_; }

 private:
  FileDescriptor socket_;
  std::string path_;
  struct stat file_ {};
};

/// One socket for each address of the host; with port 0 only for the first, on a free port.
std::vector<FileDescriptor> listen_tcp(const TcpEndpoint& endpoint);

/// "127.0.0.1:10809" or "[::1]:10809": where a TCP socket listens.
std::string address_of(int socket);
/// Whether only this machine can reach the socket: Unix, or TCP on a loopback address.
bool is_local(int socket);
/// Whether it is a stream socket at all, and whether it listens.
bool is_stream_socket(int fd);
bool is_listening(int socket);

/// Connects to a Unix socket. An invalid descriptor, errno set, where nobody listens.
FileDescriptor connect_unix(const std::string& path);

}  // namespace nbdring
