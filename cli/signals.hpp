#pragma once
// SIGTERM and SIGINT as something to wait for. Made in main before any thread exists, because
// threads inherit the mask.

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

class TerminationSignals {
 public:
  /// Blocks both signals in this thread and in those that it starts; ignores SIGPIPE and SIGHUP.
  TerminationSignals();

  /// Readable when a signal has arrived.
  int fd() const { return fd_.get(); }
  /// Takes one that has arrived; its number, or 0 when there is none.
  int take() noexcept;
  /// In a forked process, which has the signals as everybody has them.
  void leave() noexcept;
  /// From now on a signal ends the process: the user asks a second time.
  void restore() noexcept;

 private:
  FileDescriptor fd_;
};

}  // namespace nbdring
