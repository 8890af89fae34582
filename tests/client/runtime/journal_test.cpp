#include "client/runtime/journal.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

// A folder would be too long for some: sockets' paths are short.
struct Listener {
  explicit Listener(int type) : path("/tmp/nbdring-journal-" + std::to_string(::getpid())) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::ranges::copy(path, address.sun_path);
    socket.reset(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    ::unlink(path.c_str());
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  ~Listener() { ::unlink(path.c_str()); }

  std::string path;
  FileDescriptor socket;
};

TEST(Journal, EntriesAreLinesOfUpperCaseKeys) {
  JournalEntry entry(4, "lost the server");
  entry.add("device", "/dev/nbd0");
  entry.add("psk-user", "alice");
  EXPECT_EQ(entry.text(),
            "PRIORITY=4\nSYSLOG_IDENTIFIER=nbdring\nMESSAGE=lost the server\n"
            "DEVICE=/dev/nbd0\nPSK_USER=alice\n");
}

TEST(Journal, ArrivesAsOneDatagram) {
  const Listener listener(SOCK_DGRAM);
  const JournalEntry entry(6, "text");
  EXPECT_TRUE(entry.send(listener.path));
  std::array<char, 256> bytes{};
  const ssize_t count = ::recv(listener.socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  EXPECT_EQ(std::string(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))),
            entry.text());
}

TEST(Journal, NeverWaitsForAJournalThatDoesNotRead) {
  const Listener listener(SOCK_DGRAM);
  const JournalEntry entry(6, std::string(1000, 'x'));
  int sent = 0;
  while (sent < 100'000 && entry.send(listener.path)) ++sent;
  EXPECT_LT(sent, 100'000);
}

TEST(Journal, IsNotSentWhereThereIsNone) {
  EXPECT_FALSE(JournalEntry(6, "text").send("/tmp/nbdring-no-journal"));
  EXPECT_FALSE(JournalEntry(6, "text").send(std::string(200, 'x')));
}

TEST(Journal, OtherDescriptorsAreNotTheJournals) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const FileDescriptor one(ends[0]);
  const FileDescriptor other(ends[1]);
  EXPECT_FALSE(is_journal_stream(one.get()));
  EXPECT_FALSE(is_journal_stream(-1));
}

}  // namespace
}  // namespace nbdring
