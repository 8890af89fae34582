#pragma once
// How a keeper and its engine talk: messages over a pair of sockets (SEQPACKET, so each arrives
// whole), with descriptors beside the text. During an upgrade the two are of different versions: a
// message is a word and a text, and a word that somebody does not know is left unanswered.
//
// What has been sent is in the other's hands even when the sender dies with the next instruction.

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/runtime/file_descriptor.hpp"
#include "kernel/deadline.hpp"

namespace nbdring {

struct ChannelMessage {
  std::string word;  // [a-z-]+
  std::string text;  // what the word needs; may be empty
  std::vector<FileDescriptor> descriptors;
};

/// Close-on-exec, and above the standard streams. Failure where there can be no more.
FileDescriptor duplicate(int fd);

class Channel {
 public:
  static constexpr std::size_t descriptors_max = 32;

  explicit Channel(FileDescriptor socket) : socket_(std::move(socket)) {}

  /// Close-on-exec, non-blocking.
  static std::array<FileDescriptor, 2> make_sockets();

  /// Any thread; returns within a second. False: the other side has gone, or does not listen.
  bool send(std::string_view word, std::string_view text = {},
            const std::vector<int>& descriptors = {}) const;

  /// What has come; nothing where nothing has, or nothing ever will (is_over()).
  std::optional<ChannelMessage> take();
  /// Waits for the next message.
  std::optional<ChannelMessage> wait(Deadline deadline);

  int fd() const { return socket_.get(); }
  /// The other side has gone, and all that it had sent has been taken.
  bool is_over() const { return is_over_; }

 private:
  FileDescriptor socket_;
  bool is_over_ = false;
};

}  // namespace nbdring
