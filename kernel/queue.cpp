#include "kernel/queue.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "client/runtime/error.hpp"
#include "kernel/worker.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t read_ahead_min_kb = 1024;

struct Refusal {
  std::string setting;
  int error = 0;
};

struct Queue {
  std::uint32_t index;
  Sysfs sysfs;
  std::vector<Refusal> refusals;

  std::uint64_t number(const char* name) const {
    return std::strtoull(sysfs.queue_value(index, name).value_or("0").c_str(), nullptr, 10);
  }

  void set(const char* name, const std::string& value) {
    if (sysfs.queue_value(index, name) == value) return;
    if (const int error = sysfs.set_queue_value(index, name, value))
      refusals.push_back({name, error});
  }
};

std::vector<Refusal> apply(Queue queue, std::uint32_t request_size_max) {
  // Sorting and merging is the business of the backend's disk; and drivers before Linux 6.14 take a
  // request that an elevator put back in the middle of sending for another one.
  queue.set("scheduler", "none");
  const std::uint64_t wanted_kb = request_size_max / 1024;
  const std::uint64_t request_kb = std::min(wanted_kb, queue.number("max_hw_sectors_kb"));
  if (request_kb != 0) queue.set("max_sectors_kb", std::to_string(request_kb));
  const std::uint64_t read_ahead_kb = std::max(read_ahead_min_kb, queue.number("read_ahead_kb"));
  queue.set("read_ahead_kb", std::to_string(read_ahead_kb));
  return std::move(queue.refusals);
}

}  // namespace

bool set_queue(std::uint32_t index, std::uint32_t request_size_max, const Sysfs& sysfs,
               Deadline deadline, Log& log) {
  Worker worker;  // of its own: a write that hangs keeps it
  const auto refusals = worker.call<std::vector<Refusal>>(
      [queue = Queue{index, sysfs, {}}, request_size_max] {
        return apply(queue, request_size_max);
      },
      deadline);
  if (!refusals) return false;
  for (const Refusal& refusal : *refusals) {
    log.warning(device_name(index) + " keeps the driver's default",
                {{"setting", refusal.setting}, {"error", error_text(refusal.error)}});
  }
  return true;
}

}  // namespace nbdring
