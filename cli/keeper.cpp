#include "cli/keeper.hpp"

#include <unistd.h>

#include <utility>

#include "cli/keeper_process.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

int run_keeper(const EngineWork& work, KeeperState state, Announcer& announcer, Log& log) {
  DeviceKeeper keeper(work, std::move(state), &announcer, log);
  keeper.begin();
  return keeper.run();
}

int run_passed(const EngineWork& work, Passed passed, Log& log) {
  if (passed.to == Passed::To::keeper) {
    DeviceKeeper keeper(work, std::move(passed.state), nullptr, log);
    keeper.go_on_with(passed.partner, std::move(passed.channel));
    return keeper.run();
  }
  EngineLink::Start start;
  start.channel = std::move(passed.channel);
  start.keeper = passed.partner;
  start.kept = std::move(passed.state.kept);
  start.former = std::move(passed.former);
  start.directory = passed.state.directory;
  start.in_background = passed.state.in_background;
  run_as_engine(work, std::move(start), log);
}

NewKeeper start_keeper(KeeperState state, Log& log) {
  try {
    auto sockets = Channel::make_sockets();
    Passed passed;
    passed.to = Passed::To::keeper;
    passed.state = std::move(state);
    passed.partner = ::getpid();
    passed.channel = std::move(sockets[0]);
    Passage passage("/proc/self/exe", passed);
    // Not fork: see client/runtime/spawn.hpp.
    const pid_t process = ::vfork();
    if (process == 0) {
      ::setpgid(0, 0);
      ::_exit(passage.execute() & 127);
    }
    if (process < 0) fail_errno(FailureKind::failed, "vfork");
    return {process, std::move(sockets[1])};
  } catch (const Failure& failure) {
    log.error("the device has no keeper any more", {{"reason", failure.what()}});
    return {};
  }
}

}  // namespace nbdring
