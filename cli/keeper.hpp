#pragma once
// The keeper: the process between whoever attaches a device and the engine that serves it. Its
// engine may die (kill -9, a bug): then it forks another one, which adopts the device, and it never
// gives up while the driver holds it.
//
// It is small on purpose, and does nothing that could fail or wait: one thread, no library that
// makes others, no file opened once the device is there. All of its memory is locked, the
// program's text with it, because the engine to come is a fork of it (without exec): none of them
// needs a page of a file system that may be on the very device.
//
// It holds what must not die with an engine: the socket that the driver's connections were made
// through, the lock on the device's record, keepsakes. Under systemd it is the service's main
// process: it says READY and WATCHDOG, and leaves what it holds in systemd's store, for the case
// that it dies, too.
//
// An upgrade: the engine asks for it; the keeper starts the other program as an engine
// beside the first one, carries the connections from one to the other, and goes on to the
// program itself when that serves. Where it does not the former engine goes on.

#include <functional>
#include <string>

#include "cli/daemon.hpp"
#include "cli/engine_link.hpp"
#include "cli/keeper_state.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

/// The engine's work, in a process of its own; its result is the exit code. A Failure is passed on.
using EngineWork = std::function<int(EngineLink&)>;

/// From here to the device's end. The announcer speaks when the first engine is ready. Its result
/// is the engine's exit code; throws the Failure of an engine that has not become ready.
int run_keeper(const EngineWork& work, KeeperState state, Announcer& announcer, Log& log);

/// Goes on where another program's keeper, or engine, has left off. An engine that is handed a
/// device serves it and returns; a keeper keeps it.
int run_passed(const EngineWork& work, Passed passed, Log& log);

/// In an engine whose keeper has died: another one for it, in a process of its own. The socket is
/// the engine's new channel. Nothing where it could not be started.
struct NewKeeper {
  int process = 0;
  FileDescriptor channel;
};
NewKeeper start_keeper(KeeperState state, Log& log);

}  // namespace nbdring
