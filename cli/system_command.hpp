#pragma once
// What the system calls, never a user: links to the program whose names say what is asked for.
//
//   nbdring-generator DIR [DIR DIR]   systemd's generator: units of the tab, at boot and at each
//                                     daemon-reload (generator.hpp)
//   nbdring-udev DEVICE               udev's: names of a device, as KEY=VALUE lines
//   (udev_names.hpp)

#include <optional>
#include <string>
#include <vector>

namespace nbdring {

struct SystemCommand {
  enum class Job { generator, udev_names };
  Job job = Job::generator;
  std::vector<std::string> arguments;
};

/// By the program's name; nothing where it is another one.
std::optional<SystemCommand> system_command(const std::vector<std::string>& command_line);

}  // namespace nbdring
