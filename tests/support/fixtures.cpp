#include "tests/support/fixtures.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "tests/support/allocations.hpp"

namespace nbdring {

SocketPair::SocketPair() {
  std::array<int, 2> ends{};
  ENSURE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  near.reset(ends[0]);
  far.reset(ends[1]);
}

TemporaryFile::TemporaryFile(std::uint64_t bytes, const std::string& folder) {
  const char* temporary = std::getenv("TMPDIR");
  path_ = !folder.empty() ? folder : temporary != nullptr ? temporary : ".";
  path_ += "/nbdring-test-XXXXXX";
  file_.reset(::mkstemp(path_.data()));
  ENSURE(file_.is_open());
  truncate(bytes);
}

TemporaryFile::~TemporaryFile() { ::unlink(path_.c_str()); }

std::uint64_t TemporaryFile::allocated() const {
  struct stat facts {};
  ENSURE(::fstat(fd(), &facts) == 0);
  return static_cast<std::uint64_t>(facts.st_blocks) * 512;
}

std::vector<std::byte> TemporaryFile::read(std::uint64_t offset, std::size_t length) const {
  std::vector<std::byte> bytes(length);
  const ssize_t count = ::pread(fd(), bytes.data(), length, static_cast<off_t>(offset));
  ENSURE(count == static_cast<ssize_t>(length));
  return bytes;
}

void TemporaryFile::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  const ssize_t count = ::pwrite(fd(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
  ENSURE(count == static_cast<ssize_t>(bytes.size()));
}

void TemporaryFile::truncate(std::uint64_t bytes) const {
  ENSURE(::ftruncate(fd(), static_cast<off_t>(bytes)) == 0);
}

CapturedLog::CapturedLog()
    : file_(::memfd_create("log", MFD_CLOEXEC)),
      log_(LogLevel::debug, LogFormat::text, file_.get()) {
  ENSURE(file_.is_open());
}

std::string CapturedLog::text() const {
  struct stat facts {};
  ENSURE(::fstat(file_.get(), &facts) == 0);
  std::string text(static_cast<std::size_t>(facts.st_size), '\0');
  const ssize_t count = ::pread(file_.get(), text.data(), text.size(), 0);
  ENSURE(count == static_cast<ssize_t>(text.size()));
  return text;
}

namespace {

void wait_for(int fd, short events) {
  pollfd set{fd, events, 0};
  const auto milliseconds = std::chrono::milliseconds(BlockingClient::patience).count();
  if (::poll(&set, 1, static_cast<int>(milliseconds)) > 0) return;
  throw std::runtime_error("the server neither sent nor took anything for too long");
}

}  // namespace

std::uint64_t BlockingClient::send(ClientRequest request, std::span<const std::byte> payload) {
  request.cookie = next_cookie_++;
  send_raw(side_.encode(request, payload));
  return request.cookie;
}

void BlockingClient::send_raw(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EAGAIN) {
      wait_for(fd(), POLLOUT);
      continue;
    }
    if (count < 0) throw std::runtime_error("the server has gone");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

ClientReply BlockingClient::reply() {
  std::array<std::byte, 64 * 1024> bytes;
  for (;;) {
    if (auto reply = side_.next()) return *std::move(reply);
    wait_for(fd(), POLLIN);
    const ssize_t count = ::recv(fd(), bytes.data(), bytes.size(), 0);
    if (count <= 0) throw std::runtime_error("the server has gone");
    side_.feed(std::span(bytes).first(static_cast<std::size_t>(count)));
  }
}

ClientReply BlockingClient::call(const ClientRequest& request, std::span<const std::byte> payload) {
  const std::uint64_t cookie = send(request, payload);
  ClientReply answer = reply();
  if (answer.request.cookie != cookie) throw ProtocolViolation("a reply to another request");
  return answer;
}

bool BlockingClient::reads_end() {
  wait_for(fd(), POLLIN);
  std::byte byte{};
  const ssize_t count = ::recv(fd(), &byte, 1, 0);
  return count == 0 || (count < 0 && errno == ECONNRESET);
}

std::vector<std::byte> BlockingClient::receive_raw(std::size_t bytes) {
  std::vector<std::byte> received(bytes);
  std::size_t have = 0;
  while (have < bytes) {
    wait_for(fd(), POLLIN);
    const ssize_t count = ::recv(fd(), received.data() + have, bytes - have, 0);
    if (count <= 0) throw std::runtime_error("the server has gone");
    have += static_cast<std::size_t>(count);
  }
  return received;
}

void BlockingClient::close_writing() { ::shutdown(fd(), SHUT_WR); }

ClientRequest make_request(std::uint16_t command, std::uint64_t offset, std::uint32_t length,
                           std::uint16_t flags) {
  ClientRequest request;
  request.command = command;
  request.flags = flags;
  request.offset = offset;
  request.length = length;
  return request;
}

LaneOptions small_lane() {
  LaneOptions options;
  options.slots = 1;
  options.resident_bytes = 256 * 1024;
  return options;
}

LaneFixture::LaneFixture(Backend& backend, const LaneOptions& options,
                         const TransmissionOptions& transmission)
    : LaneFixture(SocketPair(), backend, options, transmission) {}

LaneFixture::LaneFixture(SocketPair sockets, Backend& backend, const LaneOptions& options,
                         const TransmissionOptions& transmission)
    : backend_(backend),
      options_(options),
      transmission_(transmission),
      client_(std::move(sockets.far), transmission.structured_replies) {
  thread_ = std::make_unique<LaneThread>(
      LaneThreadOptions{"lane", false}, std::move(sockets.near),
      [this](Loop& loop, Stream& stream) { return serve(loop, stream); },
      [this](const std::exception_ptr& failure) {
        ENSURE(!failure);
        has_ended_ = true;
      });
}

LaneFixture::~LaneFixture() { thread_->shut_down(); }

Task<void> LaneFixture::serve(Loop& loop, Stream& stream) {
  const auto backend = backend_.open_lane(loop);
  Lane lane(loop, stream, *backend, backend_.about(), transmission_, options_, stats_);
  const std::uint64_t before = loop.frames().fallbacks();
  count_allocations_of_this_thread(true);
  const LaneEnd end = co_await lane.run();
  count_allocations_of_this_thread(false);
  fallbacks_ = loop.frames().fallbacks() - before;
  closed_ = co_await backend->close();
  end_ = end;
}

LaneState LaneFixture::wait_serving() {
  eventually([this] { return stats_.state != LaneState::starting; });
  return stats_.state;
}

LaneEnd LaneFixture::end() {
  if (!eventually([this] { return has_ended_.load(); })) {
    throw std::runtime_error("the lane does not end");
  }
  return end_;
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds patience) {
  const auto deadline = Clock::now() + patience;
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace nbdring
