#pragma once
// What a keeper knows, and how it goes on to another program: by execve(), with the same command
// line, the descriptors inherited, and the rest as JSON in a file in memory (memfd) that the
// environment names. Either the keeper itself goes on so, or an engine that takes a device over
// from another one.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/engine_link.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

struct KeeperState {
  std::string directory;               // where the command's relative paths begin
  bool in_background = false;          // the streams are the log's
  std::optional<DeviceRecord> record;  // there is a device
  std::uint64_t restarts = 0;          // of engines that died
  std::uint64_t stalls = 0;            // these, and upgrades
  KeptDescriptors kept;
};

/// What one program hands to the next.
struct Passed {
  enum class To { keeper, engine };
  To to = To::keeper;
  KeeperState state;
  int partner = 0;  // process: the keeper's engine, or the engine's keeper
  FileDescriptor channel;
  std::optional<FormerEngine> former;  // for an engine
};

/// Made ready before a fork, because after it a process with threads may hardly do anything.
class Passage {
 public:
  /// The descriptors of `passed` stay open, and its own, until execute() or destruction.
  Passage(const std::string& program, const Passed& passed);

  /// Does not return, unless the program cannot be started: errno. Async-signal-safe.
  int execute() noexcept;

 private:
  void set_inherited(bool inherited) noexcept;

  std::string program_;
  FileDescriptor memory_;
  std::vector<int> inherited_;
  std::vector<std::string> arguments_;
  std::vector<std::string> environment_;
  std::vector<char*> argument_pointers_;
  std::vector<char*> environment_pointers_;
};

/// What the program before this one has passed on; nothing in a program that a user has started.
/// Failure where it cannot be understood. Once.
std::optional<Passed> take_passed();

/// The words with which this process was started.
std::vector<std::string> command_line();

}  // namespace nbdring
