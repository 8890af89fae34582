// nbdring status: what a device is doing, asked from its engine.

#include <poll.h>
#include <unistd.h>

#include <chrono>

#include "cli/commands.hpp"
#include "cli/control.hpp"
#include "cli/device_status.hpp"
#include "cli/lookup.hpp"
#include "cli/report.hpp"
#include "cli/signals.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr int redraw_milliseconds = 1000;

DeviceStatus ask_status(const RunFolder& folder, const KnownDevice& known) {
  if (!known.engine_lives) {
    throw Failure(FailureKind::failed, "the engine of " + known.record.device() +
                                           " has died; `nbdring detach " + known.record.device() +
                                           "` cleans up after it");
  }
  ControlConnection engine(folder.socket_path(known.record.index));
  const ControlReply reply = engine.ask(ControlRequest(), Deadline::in(engine_wait));
  if (reply.exit_code != 0) {
    throw Failure(static_cast<FailureKind>(reply.exit_code), reply.error);
  }
  auto status = status_from_json(reply.body);
  if (!status) {
    throw Failure(FailureKind::failed, "the engine of " + known.record.device() +
                                           " speaks another version's language; use its own "
                                           "nbdring, or attach again");
  }
  return std::move(*status);
}

// From the top left; what was behind each line and below is erased, which does not flicker.
void draw(const std::string& text) {
  std::string screen = "\033[H";
  for (const char c : text) screen += c == '\n' ? std::string("\033[K\n") : std::string(1, c);
  print(screen + "\033[J");
}

bool wait_for_end(const TerminationSignals& signals) {
  pollfd set{signals.fd(), POLLIN, 0};
  return ::poll(&set, 1, redraw_milliseconds) > 0;
}

int watch(const RunFolder& folder, const StatusCommand& command, const CommonOptions& common) {
  if (::isatty(STDOUT_FILENO) == 0) {
    throw Failure(FailureKind::usage,
                  "--watch draws on a terminal, which standard output is not; "
                  "leave it out, or say --json");
  }
  const TerminationSignals signals;
  print("\033[2J");
  // What an alias stands for may change, what is watched does not.
  const std::string id = look_up(folder, command.target, common).record.id;
  DeviceStatus before = ask_status(folder, look_up(folder, id, common));
  auto asked = std::chrono::steady_clock::now();
  draw(status_table(before, Earlier{before, 0}));
  while (!wait_for_end(signals)) {
    const DeviceStatus status = ask_status(folder, look_up(folder, id, common));
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double> passed = now - asked;
    draw(status_table(status, Earlier{before, passed.count()}));
    before = status;
    asked = now;
  }
  return 0;
}

}  // namespace

int run_status(const StatusCommand& command, const CommonOptions& common) {
  const RunFolder folder;
  if (command.watch) return watch(folder, command, common);
  const DeviceStatus status = ask_status(folder, look_up(folder, command.target, common));
  switch (command.form) {
    case StatusForm::table:
      print(status_table(status));
      break;
    case StatusForm::json:
      print(to_json(status) + "\n");
      break;
    case StatusForm::prometheus:
      print(status_prometheus(status));
      break;
  }
  return 0;
}

}  // namespace nbdring
