// A DirectEngine's part in an upgrade (keeper_upgrade.cpp has the whole of it). No request waits
// for it: what changes hands is who watches the connections.

#include <nlohmann/json.hpp>
#include <utility>

#include "cli/direct_engine.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono::seconds;

constexpr seconds introduction_wait{15};  // for the other program to be one
constexpr seconds service_wait{50};       // for the other engine

ControlReply refusal(const std::string& device, const std::string& why) {
  return {static_cast<int>(FailureKind::failed), device + " is not upgraded: " + why, ""};
}

}  // namespace

ControlReply DirectEngine::upgrade(const std::string& program) {
  const std::string device = record().device();
  if (program.empty() || program.front() != '/') {
    return refusal(device, "'" + program + "' is not the path of a program");
  }
  if (device_->links().alive() < device_->links().size()) {
    return refusal(device, "a connection is lost and not replaced yet; try again");
  }
  EngineLink& link = parts_.link;
  const auto answer =
      link.ask("upgrade", program, {}, {"prepared", "refused"}, Deadline::in(introduction_wait));
  if (!answer) {
    link.send("upgrade-cancel");
    return refusal(device, "its keeper does not answer");
  }
  if (answer->word == "refused") return refusal(device, answer->text);
  return hand_over(answer->text);
}

ControlReply DirectEngine::hand_over(const std::string& version) {
  const auto began = Deadline::Clock::now();
  const auto answer = parts_.link.ask("hand-over", std::to_string(began.time_since_epoch().count()),
                                      device_->links().descriptors(), {"done", "refused", "lost"},
                                      Deadline::in(service_wait));
  const std::string device = record().device();
  if (answer && answer->word == "refused") return refusal(device, answer->text);
  // Without an answer, too, another engine may have begun to replace connections.
  is_handed_over_ = true;
  device_->leave();
  if (!answer || answer->word != "done") {
    const std::string why = answer ? answer->text : "its keeper does not answer";
    exit_code_ = static_cast<int>(FailureKind::failed);
    parts_.link.failed(exit_code_, why);
    return refusal(device, why + "; another engine goes on with it");
  }
  parts_.log.info("upgraded: another engine looks after the device",
                  {{"device", device}, {"version", version}});
  const nlohmann::json body{{"from", NBDRING_VERSION}, {"to", version}, {"stall_ms", 0}};
  return {0, "", body.dump()};
}

}  // namespace nbdring
