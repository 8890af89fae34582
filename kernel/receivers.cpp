#include "kernel/receivers.hpp"

#include <algorithm>
#include <filesystem>
#include <thread>

#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

constexpr char kernel_thread_daemon[] = "/proc/2/comm";

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

std::optional<unsigned> running_receivers(std::uint32_t index, const std::string& root) {
  const Sysfs files(root);
  if (files.line(kernel_thread_daemon) != "kthreadd") return std::nullopt;
  // The plus sign: is running it. A minus sign: ran it last.
  const std::string running = "+" + device_name(index) + "-recv";
  unsigned count = 0;
  std::error_code gone;
  std::filesystem::directory_iterator process(root + "/proc", gone);
  while (!gone && process != std::filesystem::directory_iterator()) {
    const std::string id = process->path().filename().string();
    const bool is_process = id.find_first_not_of("0123456789") == std::string::npos;
    if (is_process && ends_with(files.line("/proc/" + id + "/comm").value_or(""), running)) ++count;
    process.increment(gone);
  }
  return count;
}

std::optional<unsigned> wait_for_receivers(std::uint32_t index, unsigned wanted,
                                           Deadline deadline) {
  constexpr std::chrono::milliseconds quiet_time{500};
  std::optional<unsigned> running;
  unsigned most = 0;
  Deadline quiet = deadline.at_most(quiet_time);
  const auto is_decided = [&] {
    running = running_receivers(index);
    const unsigned count = running.value_or(wanted);
    if (count > most) quiet = deadline.at_most(quiet_time);
    most = std::max(most, count);
    return count >= wanted || quiet.has_passed();
  };
  wait_until(is_decided, deadline);
  return running;
}

bool receivers_run(std::uint32_t index, unsigned wanted, Deadline deadline) {
  return wait_for_receivers(index, wanted, deadline).value_or(wanted) >= wanted;
}

bool receivers_ended(std::uint32_t index, unsigned left, Deadline deadline) {
  constexpr std::chrono::milliseconds blind_pause{100};
  bool blind = false;
  const auto ended = [index, left, &blind] {
    const std::optional<unsigned> running = running_receivers(index);
    blind = !running;
    return running.value_or(0) <= left;
  };
  const bool all_ended = wait_until(ended, deadline);
  if (blind) std::this_thread::sleep_for(std::min(blind_pause, deadline.remaining()));
  return all_ended;
}

}  // namespace nbdring
