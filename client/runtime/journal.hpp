#pragma once
// systemd's journal, where a Log puts its text when standard error is the journal's: a line with
// fields that can be asked for, as `journalctl DEVICE=/dev/nbd0`. Its native protocol: a datagram
// of KEY=VALUE lines (systemd.io/JOURNAL_NATIVE_PROTOCOL).

#include <string>
#include <string_view>

namespace nbdring {

/// Whether what is written to this descriptor goes to the journal: a service's standard error, or
/// a stream of sd_journal_stream_fd().
bool is_journal_stream(int fd);

/// A datagram for the journal.
class JournalEntry {
 public:
  /// Severity as syslog(3) counts. The message has no line end inside.
  JournalEntry(int severity, std::string_view message);

  /// The key in any case: what is no letter, digit or '_' becomes '_'. The value as the message.
  void add(std::string_view key, std::string_view value);
  const std::string& text() const { return text_; }

  /// Never waits: the journal may write to the very device that we serve. False: not sent, for it
  /// is not there, or has more to do than it can.
  bool send(const std::string& socket_path = "/run/systemd/journal/socket") const;

 private:
  std::string text_;
};

}  // namespace nbdring
