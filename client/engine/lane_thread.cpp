#include "client/engine/lane_thread.hpp"

#include <linux/prctl.h>
#include <pthread.h>
#include <sys/prctl.h>

#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// Bytes for the frames of all requests at once, through as many layers as there may be; touched as
// used.
constexpr std::size_t frame_slab = 4 * 1024 * 1024;

}  // namespace

// Read back, because a wrong call is silently ignored by nobody but the kernel's flag.
void become_io_flusher() {
  if (::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0 || ::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) != 1) {
    fail_errno(FailureKind::cannot_attach,
               "cannot mark a lane's thread as I/O flusher (needs CAP_SYS_RESOURCE)");
  }
}

LaneThread::LaneThread(const LaneThreadOptions& options, FileDescriptor socket, Body body,
                       Ended ended)
    : options_(options), body_(std::move(body)), ended_(std::move(ended)) {
  thread_ = std::thread([this, owned = std::move(socket)]() mutable { run(std::move(owned)); });
}

LaneThread::~LaneThread() { thread_.join(); }

void LaneThread::run(FileDescriptor socket) {
  ::pthread_setname_np(::pthread_self(), options_.name.substr(0, 15).c_str());
  std::exception_ptr failure;
  try {
    if (options_.io_flusher) become_io_flusher();
    LoopOptions loop_options;
    loop_options.frame_slab = frame_slab;
    Loop loop(loop_options);
    SocketStream stream(loop, std::move(socket));
    publish(&loop, &stream);
    try {
      loop.run(body_(loop, stream));
    } catch (...) {
      failure = std::current_exception();
    }
    publish(nullptr, nullptr);
  } catch (...) {
    failure = std::current_exception();
  }
  socket.reset();  // of a thread that failed before its stream took it
  ended_(failure);
}

void LaneThread::publish(Loop* loop, Stream* stream) {
  const std::lock_guard lock(control_);
  loop_ = loop;
  message_.stream = stream;
  if (stream != nullptr && shut_down_wanted_) stream->shut_down();
}

void LaneThread::post(Message& message) noexcept {
  const std::lock_guard lock(control_);
  if (loop_ != nullptr) loop_->post(message);
}

void LaneThread::shut_down() noexcept {
  const std::lock_guard lock(control_);
  shut_down_wanted_ = true;
  if (loop_ == nullptr || std::exchange(message_.posted, true)) return;
  loop_->post(message_);
}

}  // namespace nbdring
