// The engine's part in an upgrade; keeper_upgrade.cpp has the whole of it.

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "cli/engine.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono::seconds;

constexpr seconds introduction_wait{15};  // for the other program to be one
constexpr seconds pause_wait{5};          // for what is in flight
constexpr seconds service_wait{50};       // for the other engine

ControlReply refusal(const std::string& device, const std::string& why) {
  return {static_cast<int>(FailureKind::failed), device + " is not upgraded: " + why, ""};
}

}  // namespace

ControlReply Engine::upgrade(const std::string& program) {
  const std::string device = record().device();
  if (program.empty() || program.front() != '/') {
    return refusal(device, "'" + program + "' is not the path of a program");
  }
  const auto answer =
      link_.ask("upgrade", program, {}, {"prepared", "refused"}, Deadline::in(introduction_wait));
  if (!answer) {
    link_.send("upgrade-cancel");
    return refusal(device, "its keeper does not answer");
  }
  if (answer->word == "refused") return refusal(device, answer->text);
  return hand_over(answer->text);
}

ControlReply Engine::hand_over(const std::string& version) {
  const auto began = Deadline::Clock::now();
  std::vector<FileDescriptor> sockets;
  try {
    sockets = device_.front().hand_over(Deadline::in(pause_wait));
  } catch (const Failure& failure) {
    link_.send("upgrade-cancel");
    return refusal(record().device(), failure.what());
  }
  std::vector<int> numbers;
  for (const FileDescriptor& socket : sockets) numbers.push_back(socket.get());
  const auto answer = link_.ask("hand-over", std::to_string(began.time_since_epoch().count()),
                                numbers, {"done", "refused", "lost"}, Deadline::in(service_wait));
  if (answer && answer->word == "done") return handed_over(version, began);
  if (answer && answer->word == "refused") return stay(answer->text, std::move(sockets));
  // Also without an answer: the other engine may have read from the connections.
  sockets.clear();
  return left_to_keeper(answer ? answer->text : "its keeper does not answer");
}

ControlReply Engine::handed_over(const std::string& version, Deadline::Clock::time_point began) {
  const auto stall =
      std::chrono::duration_cast<std::chrono::milliseconds>(Deadline::Clock::now() - began);
  is_handed_over_ = true;
  device_.leave();
  log_.info("upgraded: another engine serves the device",
            {{"device", record().device()},
             {"version", version},
             {"waited-ms", std::to_string(stall.count())}});
  const nlohmann::json body{
      {"from", NBDRING_VERSION}, {"to", version}, {"stall_ms", stall.count()}};
  return {0, "", body.dump()};
}

ControlReply Engine::stay(const std::string& why, std::vector<FileDescriptor> sockets) {
  try {
    device_.front().go_on(std::move(sockets));
  } catch (const Failure& failure) {
    return left_to_keeper(why + "; and the backend cannot be opened again: " + failure.what());
  }
  return refusal(record().device(), why + "; its engine serves on");
}

// Nobody knows what has been read from the connections: they end here.
ControlReply Engine::left_to_keeper(const std::string& why) {
  leave_to_keeper(Failure(FailureKind::failed, why));
  return refusal(record().device(), why + "; another engine adopts the device");
}

}  // namespace nbdring
