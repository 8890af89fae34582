// The existing way's part behind websocketd, in what it costs: websocketd runs one of these for
// each websocket, and it carries bytes between standard input and output and the one client of a
// Unix socket, as nbd-proxy does: one thread, poll(), splice() of at most 128 KiB, each waiting
// until it is done. Without the device, its client and its hooks.
//
//   splicer SOCKET

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "bench/websocket-parts/wire.hpp"

namespace {

constexpr std::size_t splice_max = 0x20000;

int accept_one(const char* path) {
  unlink(path);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = wire::unix_address(path);
  if (listener < 0 || fchmod(listener, 0600) != 0 ||
      bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 1) != 0) {
    wire::fail(path);
  }
  pollfd waits[2] = {{listener, POLLIN, 0}, {STDIN_FILENO, 0, 0}};
  while (waits[0].revents == 0) {
    if (poll(waits, 2, -1) < 0 || waits[1].revents != 0) std::exit(0);  // the websocket has gone
  }
  const int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) wire::fail("accept");
  close(listener);
  unlink(path);
  return client;
}

bool carry(int from, int to) {
  const ssize_t count = splice(from, nullptr, to, nullptr, splice_max, 0);
  return count > 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) wire::fail("usage: splicer SOCKET");
  const int client = accept_one(argv[1]);
  pollfd waits[2] = {{client, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
  while (poll(waits, 2, -1) > 0) {
    if (waits[0].revents != 0 && !carry(client, STDOUT_FILENO)) break;
    if (waits[1].revents != 0 && !carry(STDIN_FILENO, client)) break;
  }
  return 0;
}
