#include "client/runtime/journal.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstring>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

bool is_journal_stream(int fd) {
  constexpr std::string_view journal = "/run/systemd/journal/stdout";
  sockaddr_un peer{};
  socklen_t size = sizeof(peer);
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return false;
  if (peer.sun_family != AF_UNIX || size <= offsetof(sockaddr_un, sun_path)) return false;
  const std::size_t bytes = size - offsetof(sockaddr_un, sun_path);
  return std::string_view(peer.sun_path, ::strnlen(peer.sun_path, bytes)) == journal;
}

JournalEntry::JournalEntry(int severity, std::string_view message) {
  add("PRIORITY", std::to_string(severity));
  add("SYSLOG_IDENTIFIER", "nbdring");
  add("MESSAGE", message);
}

void JournalEntry::add(std::string_view key, std::string_view value) {
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    text_ += std::isalnum(byte) != 0 ? static_cast<char>(std::toupper(byte)) : '_';
  }
  text_ += '=';
  text_ += value;
  text_ += '\n';
}

bool JournalEntry::send(const std::string& socket_path) const {
  sockaddr_un journal{};
  journal.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(journal.sun_path)) return false;
  std::ranges::copy(socket_path, journal.sun_path);
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return socket.is_open() &&
         ::sendto(socket.get(), text_.data(), text_.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                  reinterpret_cast<const sockaddr*>(&journal), sizeof(journal)) >= 0;
}

}  // namespace nbdring
