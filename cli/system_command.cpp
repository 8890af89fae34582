#include "cli/system_command.hpp"

#include <unistd.h>

#include "cli/commands.hpp"
#include "cli/generator.hpp"
#include "cli/tab.hpp"
#include "cli/udev_names.hpp"
#include "client/runtime/error.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

// A machine without a tab has no devices of it, which is no mistake.
int generate(const std::string& folder, Log& log) {
  const std::string path(tab_path_default);
  if (::access(path.c_str(), F_OK) != 0) return 0;
  const Tab tab = read_tab(path);
  for (const std::string& warning : tab.warnings) log.warning(warning);
  generate_units(tab, path, folder);
  return 0;
}

// Another's device has no names of ours.
int print_udev_names(const std::string& device) {
  const auto index = device_index(device);
  if (!index) throw Failure(FailureKind::usage, "'" + device + "' is not a device");
  print(udev_names(RunFolder(), *index));
  return 0;
}

}  // namespace

std::optional<SystemCommand> system_command(const std::vector<std::string>& command_line) {
  ENSURE(!command_line.empty());
  const std::string& path = command_line.front();
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::vector<std::string> arguments(command_line.begin() + 1, command_line.end());
  if (name == "nbdring-generator") return SystemCommand{SystemCommand::Job::generator, arguments};
  if (name == "nbdring-udev") return SystemCommand{SystemCommand::Job::udev_names, arguments};
  return std::nullopt;
}

int run_system_command(const SystemCommand& command, const CommonOptions& common) {
  if (command.arguments.empty()) {
    throw Failure(FailureKind::usage, "this name of nbdring is for systemd and udev");
  }
  Log log = common.log();
  const std::string& argument = command.arguments.front();
  return command.job == SystemCommand::Job::generator ? generate(argument, log)
                                                      : print_udev_names(argument);
}

}  // namespace nbdring
