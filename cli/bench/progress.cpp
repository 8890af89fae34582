#include "cli/bench/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "cli/bench/columns.hpp"
#include "cli/report.hpp"
#include "client/protocol/handshake_text.hpp"

namespace nbdring {
namespace {

constexpr std::size_t columns_default = 80;
constexpr std::size_t what_min = 8;  // below it a piece of a name says nothing
constexpr const char* erase_line = "\r\033[K";

std::string requests_text(double per_second) {
  std::array<char, 32> text{};
  if (per_second < 9'999.5) {
    std::snprintf(text.data(), text.size(), "%.0f IOPS", per_second);
  } else if (per_second < 999'500) {
    std::snprintf(text.data(), text.size(), "%.1fk IOPS", per_second / 1e3);
  } else {
    std::snprintf(text.data(), text.size(), "%.2fM IOPS", per_second / 1e6);
  }
  return text.data();
}

// What changes most comes first: the rest may have to be cut.
std::string what_of(const std::string& target, const BenchPoint& point) {
  std::string text = block_text(point.block_size) + ", depth " + std::to_string(point.depth);
  if (point.connections > 1) text += " x " + std::to_string(point.connections);
  return text + ", " + load_text(point) + ", " + printable(target);
}

std::size_t columns_of(int terminal) {
  winsize size{};
  if (::ioctl(terminal, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return columns_default;
  return size.ws_col;
}

}  // namespace

std::string progress_line(const ProgressView& view, std::size_t columns_max) {
  const std::string front = std::to_string(view.number) + " of " + std::to_string(view.of);
  const auto left = static_cast<std::uint64_t>(std::lround(std::max(0.0, view.seconds_left)));
  std::string back;
  if (view.bytes_per_second) {
    const auto bytes = static_cast<std::uint64_t>(*view.bytes_per_second);
    back = "  " + bytes_text(bytes) + "/s  " + requests_text(view.requests_per_second);
  }
  back += "  " + uptime_text(left) + " left";
  const std::size_t taken = front.size() + back.size() + 2;
  std::string what;
  if (taken + view.what.size() <= columns_max) {
    what = "  " + view.what;
  } else if (taken + what_min <= columns_max) {
    constexpr std::size_t dots = 3;  // printable() adds them to what it cuts
    what = "  " + printable(view.what, columns_max - taken - dots);
  }
  return (front + what + back).substr(0, columns_max);
}

Progress::Progress(int fd, std::size_t measurements, double seconds_each)
    : fd_(fd), is_terminal_(::isatty(fd) == 1), seconds_each_(seconds_each) {
  view_.of = measurements;
}

Progress::~Progress() { clear(); }

void Progress::begin(const std::string& target, const BenchPoint& point) {
  if (!is_terminal_) return;
  ++view_.number;
  view_.what = what_of(target, point);
  view_.bytes_per_second.reset();
  began_ = updated_ = Clock::now();
  bytes_ = requests_ = 0;
  draw(0);
}

void Progress::update(std::uint64_t bytes, std::uint64_t requests) {
  if (!is_terminal_) return;
  const auto now = Clock::now();
  const double passed = std::chrono::duration<double>(now - updated_).count();
  // Nothing is counted before the warm-up is over: no rate, rather than none.
  const bool counts = view_.bytes_per_second || requests > 0;
  if (passed > 0 && counts && requests >= requests_ && bytes >= bytes_) {
    view_.bytes_per_second = static_cast<double>(bytes - bytes_) / passed;
    view_.requests_per_second = static_cast<double>(requests - requests_) / passed;
  }
  updated_ = now;
  bytes_ = bytes;
  requests_ = requests;
  draw(std::chrono::duration<double>(now - began_).count());
}

// A terminal that does not take it has lost nothing that matters.
void Progress::draw(double passed) {
  const auto after = static_cast<double>(view_.of - std::min(view_.of, view_.number));
  view_.seconds_left = std::max(0.0, seconds_each_ - passed) + after * seconds_each_;
  // The last column stays free: some terminals wrap there.
  const std::string text = erase_line + progress_line(view_, columns_of(fd_) - 1);
  [[maybe_unused]] const ssize_t written = ::write(fd_, text.data(), text.size());
  is_drawn_ = true;
}

void Progress::clear() {
  if (!is_drawn_) return;
  const std::string text = erase_line;
  [[maybe_unused]] const ssize_t written = ::write(fd_, text.data(), text.size());
  is_drawn_ = false;
}

}  // namespace nbdring
