#pragma once
// Two descriptors as one stream: standard input and output, of `nbdring proxy`. Pipes or sockets.
//
// Not even shut_down() may be called by another thread than the loop's: a pipe has no such call, so
// it is the waits that are ended.

#include <functional>

#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/loop.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

class PipeStream final : public Stream {
 public:
  /// Makes both non-blocking; as they were when it is destroyed, for they may be shared with
  /// others. ended: told once, on the loop's thread, when the input has ended or failed.
  PipeStream(Loop& loop, FileDescriptor input, FileDescriptor output, std::function<void()> ended);
  ~PipeStream() override;

  ssize_t receive(std::span<iovec> buffers) noexcept override;
  ssize_t send(std::span<iovec> buffers) noexcept override;
  Operation readable() override;
  Operation writable() override;
  void shut_down() noexcept override;
  void end_sending() noexcept override;
  void move_to(Loop& loop) noexcept override { loop_ = &loop; }

 private:
  void note_end() noexcept;

  Loop* loop_;
  FileDescriptor input_;
  FileDescriptor output_;  // closed: nothing more can be sent
  int input_flags_;
  int output_flags_;
  std::function<void()> ended_;
  bool is_shut_down_ = false;
};

}  // namespace nbdring
