// nbd-client's actions, done by our commands.

#include "cli/nbd_client.hpp"

#include <unistd.h>

#include <cstdio>

#include "cli/commands.hpp"
#include "cli/in_use.hpp"
#include "cli/nbd_client_device.hpp"
#include "cli/state.hpp"
#include "cli/tab.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"
#include "kernel/disconnect.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

using Action = NbdClientCommand::Action;

constexpr const char* nbdtab = "/etc/nbdtab";
constexpr int not_connected = 1;
constexpr int cannot_know = 2;

// One line for all of them.
void print_remarks(const std::vector<std::string>& remarks) {
  std::string line;
  for (const std::string& remark : remarks) line += (line.empty() ? "" : "; ") + remark;
  if (!line.empty()) std::fprintf(stderr, "nbd-client: %s\n", line.c_str());
}

// The same server may be connected to several devices: the device is a part of the identity.
std::string identity_of(const AttachCommand& attach) {
  const std::string where =
      attach.index ? device_name(*attach.index) : "process " + std::to_string(::getpid());
  return attach.backend + " at " + where;
}

int connect(AttachCommand attach, const NbdClientCommand& command, const CommonOptions& common) {
  attach.as_nbd_client = true;
  attach.foreground = command.foreground;
  attach.root_device = attach.root_device || command.root_device;
  if (attach.id.empty()) attach.id = identity_of(attach);
  return run_attach(attach, common);
}

AttachCommand entry_of(const std::string& device, const CommonOptions& common) {
  Log log = common.log();
  for (const std::string& path : {std::string(nbdtab), std::string(tab_path_default)}) {
    if (::access(path.c_str(), F_OK) != 0) continue;
    const Tab tab = read_tab(path);
    const TabEntry* entry = tab.find(device);
    if (entry == nullptr) continue;
    warn_of(tab.warnings, common, log);
    return entry->attach;
  }
  throw Failure(FailureKind::failed, "'" + device + "' has no line in " + nbdtab + " nor in " +
                                         std::string(tab_path_default));
}

// The original's too, and whoever else's.
void disconnect_others(std::uint32_t index, Log& log) {
  const auto users = lasting_users_of(index, Deadline::in(passing_user_wait));
  const std::string device = "/dev/" + device_name(index);
  if (!users.empty()) throw Failure(FailureKind::failed, in_use_text(device, users));
  if (disconnect_index(index, disconnect_wait, log) != DisconnectEnd::done) {
    throw Failure(FailureKind::failed, held_text(device));
  }
}

int disconnect(const std::string& target, const CommonOptions& common) {
  const auto index = device_index(target);
  if (!index) throw Failure(FailureKind::failed, "'" + target + "' is not a device");
  const auto known = RunFolder().find("/dev/" + device_name(*index));
  if (known) return run_detach({known->record.device(), false, false}, common);
  // Nothing to end is no failure: so it is there.
  if (!Sysfs().is_attached(*index)) return 0;
  Log log = common.log();
  disconnect_others(*index, log);
  return 0;
}

// The engine's, which the driver's own number need not be after a crash. Who is not root sees that.
int process_of(std::uint32_t index, int otherwise) {
  if (::geteuid() != 0) return otherwise;
  const auto known = RunFolder().find("/dev/" + device_name(index));
  return known && known->record.pid > 0 ? known->record.pid : otherwise;
}

int check(std::string target) {
  const std::size_t part = target.find_last_of('p');  // that of "nbd0p1", not of "/dev/nbd0"
  if (part != std::string::npos && part > target.rfind('/') + 1) target.resize(part);
  try {
    const auto index = device_index(target);
    const auto device = index ? Sysfs().device(*index) : std::nullopt;
    if (!device || !device->attached) return not_connected;
    print(std::to_string(process_of(*index, device->thread)) + "\n");
    return 0;
  } catch (const Failure& failure) {
    std::fprintf(stderr, "nbd-client: %s\n", failure.what());
    return cannot_know;
  }
}

int list(const NbdClientDevice& server, const CommonOptions& common) {
  const AttachCommand attach = attach_command(server);
  InfoCommand info;
  info.backend = attach.backend;
  info.tls = attach.tls;
  info.list = true;
  info.names_only = true;
  print("Negotiation: ..\n");  // scripts leave this line out
  return run_info(info, common);
}

int act(const NbdClientCommand& command, const CommonOptions& common) {
  switch (command.action) {
    case Action::connect:
      return connect(attach_command(command.device), command, common);
    case Action::connect_from_tab:
      return connect(entry_of(command.target, common), command, common);
    case Action::disconnect:
      return disconnect(command.target, common);
    case Action::check:
      return check(command.target);
    case Action::list:
      return list(command.device, common);
  }
  ENSURE(!"every action is done");
  return 1;
}

}  // namespace

int run_nbd_client(const NbdClientCommand& command, const CommonOptions& common) {
  print_remarks(command.remarks);
  try {
    return act(command, common);
  } catch (const Failure& failure) {
    throw Failure(FailureKind::failed, failure.what());
  }
}

}  // namespace nbdring
