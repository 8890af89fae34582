#include "backends/layers/log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "backends/layers/layers_request.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

using std::chrono::microseconds;
using Wall = std::chrono::system_clock;

constexpr std::size_t line_bytes = 256;  // more than the longest

/// Any thread.
class RequestLog {
 public:
  explicit RequestLog(FileDescriptor file) : file_(std::move(file)) {}

  // O_APPEND: lines of several lanes do not mix.
  void append(std::string_view line) noexcept {
    ssize_t result = -1;
    do {
      result = ::write(file_.get(), line.data(), line.size());
    } while (result < 0 && errno == EINTR);
    if (result != static_cast<ssize_t>(line.size())) ++lost_;
  }
  std::uint64_t lost() const { return lost_; }

 private:
  const FileDescriptor file_;
  std::atomic<std::uint64_t> lost_{0};
};

struct Microseconds {
  explicit Microseconds(Wall::time_point time)
      : all(std::chrono::duration_cast<microseconds>(time.time_since_epoch()).count()) {}
  long long seconds() const { return all / 1'000'000; }
  long long rest() const { return all % 1'000'000; }
  long long all;
};

const char* flags_of(const BackendRequest& request) {
  constexpr const char* names[] = {
      "none",      "fua",           "no-hole",           "no-hole,fua",
      "fast-zero", "fast-zero,fua", "fast-zero,no-hole", "fast-zero,no-hole,fua"};
  const unsigned fua = request.fua || request.mode.fua ? 1 : 0;
  const unsigned no_hole = request.mode.no_hole ? 2 : 0;
  const unsigned fast_zero = request.mode.fast_zero ? 4 : 0;
  return names[fua + no_hole + fast_zero];
}

class LogLane final : public RequestLane {
 public:
  LogLane(std::unique_ptr<BackendLane> under, RequestLog& log, unsigned number)
      : RequestLane(std::move(under)), log_(log), number_(number) {}

 private:
  Task<Status> handle(BackendRequest request) override {
    const auto wall = Wall::now();
    const auto begin = Clock::now();
    const Status status = co_await perform(below(), request);
    tell(request, status, wall, Clock::now() - begin);
    co_return status;
  }

  void tell(const BackendRequest& request, Status status, Wall::time_point start,
            Clock::duration took) noexcept {
    const Microseconds begin(start);
    const Microseconds end(start + std::chrono::duration_cast<Wall::duration>(took));
    const char* error = ::strerrorname_np(status.error());
    std::array<char, line_bytes> line{};
    const int length = std::snprintf(
        line.data(), line.size(),
        "start=%lld.%06lld end=%lld.%06lld us=%lld lane=%u command=%s offset=%llu length=%llu "
        "flags=%s result=%s\n",
        begin.seconds(), begin.rest(), end.seconds(), end.rest(), end.all - begin.all, number_,
        name_of(request.kind).data(), static_cast<unsigned long long>(request.offset),
        static_cast<unsigned long long>(request.length), flags_of(request),
        status.is_ok() ? "ok" : (error == nullptr ? "?" : error));
    log_.append({line.data(), static_cast<std::size_t>(length)});
  }

  RequestLog& log_;
  const unsigned number_;
};

class LogBackend final : public LayerBackend {
 public:
  LogBackend(std::unique_ptr<Backend> under, FileDescriptor file, std::string path, Log& log)
      : LayerBackend(std::move(under)),
        requests_(std::move(file)),
        path_(std::move(path)),
        log_(log) {}
  ~LogBackend() override {
    if (requests_.lost() == 0) return;
    log_.warning("some requests are not in the log of requests",
                 {{"file", path_}, {"requests", std::to_string(requests_.lost())}});
  }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    return std::make_unique<LogLane>(below().open_lane(loop), requests_, lanes_++);
  }

 private:
  RequestLog requests_;
  const std::string path_;
  std::atomic<unsigned> lanes_{0};
  Log& log_;
};

}  // namespace

std::unique_ptr<Backend> make_log_layer(std::unique_ptr<Backend> below,
                                        const LayerArgument& argument, Log& log) {
  if (argument.empty()) argument.refuse("it names no file");
  const std::string& path = argument.text();
  // O_NONBLOCK: a FIFO without a reader is refused, and not waited for.
  FileDescriptor file(::open(
      path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600));
  if (!file.is_open()) {
    argument.fail(FailureKind::failed, "cannot be opened for writing: " + error_text(errno));
  }
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0 || (!S_ISREG(facts.st_mode) && !S_ISCHR(facts.st_mode))) {
    argument.fail(FailureKind::usage, "this is no file to append to; name a regular file");
  }
  return std::make_unique<LogBackend>(std::move(below), std::move(file), path, log);
}

}  // namespace nbdring
