#include "cli/wanted.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include "cli/waits.hpp"
#include "client/runtime/error.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::milliseconds other_attach_wait{90'000};
static_assert(other_attach_wait > attach_wait, "it may need all of its own time");

// How long the driver waits for a reply before it gives the connection up. That costs a new
// connection and no error; after the death of an engine it is how long what was on its way takes.
constexpr std::chrono::seconds timeout_local{30};
constexpr std::chrono::seconds timeout_remote{60};
// How long I/O waits for another engine.
constexpr std::chrono::seconds without_engine{300};

// The same identity must mean the same device: other bytes, or another mode, under it is a mistake.
std::string difference(const DeviceRecord& attached, const Wanted& wanted) {
  std::string differs;
  if (attached.backend != wanted.backend) differs = "with the backend " + attached.backend;
  // Behind layers, and at a server, only the open backend tells whether it can be written to.
  const bool tells_itself = wanted.command.layers.empty() && !can_go_away(wanted.spec.form);
  const bool is_known = tells_itself || wanted.command.read_only;
  if (is_known && attached.read_only != wanted.read_only)
    differs = attached.read_only ? "read-only" : "writable";
  if (wanted.command.kernel_path && !attached.kernel_path) differs = "through an engine";
  const auto& index = wanted.command.index;
  if (index && *index != attached.index) differs = "there and not at /dev/" + device_name(*index);
  if (!wanted.command.name.empty() && wanted.command.name != attached.name) {
    differs = attached.name.empty() ? "without a name" : "as " + attached.name;
  }
  return differs;
}

void check_same(const DeviceRecord& attached, const Wanted& wanted) {
  if (wanted.command.as_nbd_client) {
    throw Failure(FailureKind::busy, attached.device() + " is connected already, to this server");
  }
  const std::string differs = difference(attached, wanted);
  if (differs.empty()) return;
  throw Failure(FailureKind::busy, "'" + attached.id + "' is attached already at " +
                                       attached.device() + ", " + differs +
                                       "; detach it first, or give another --id");
}

unsigned connections_here() { return std::clamp(std::thread::hardware_concurrency(), 1U, 4U); }

std::chrono::seconds timeout_of(const Wanted& wanted) {
  if (wanted.command.timeout) return *wanted.command.timeout;
  // The driver's own timer is all that notices a server which is silent.
  if (wanted.command.kernel_path) return timeout_local;
  return can_go_away(wanted.spec.form) ? timeout_remote : timeout_local;
}

AttachOptions attach_options(const Wanted& wanted, const Export& about) {
  AttachOptions options;
  options.index = wanted.command.index;
  options.connections = wanted.command.connections.value_or(connections_here());
  options.block_size = wanted.command.block_size.value_or(block_size_for(about));
  options.timeout = timeout_of(wanted);
  options.recovery_window = wanted.command.recovery_window.value_or(without_engine);
  options.identifier = wanted.id;
  ENSURE(options.connections > 0 && options.timeout.count() > 0);
  return options;
}

// What systemd's unit attaches after a crash is another device where the identity does not last, as
// that of memory: does not: the former, which nobody can go on with, still has the name.
std::string name_taken_text(const KnownDevice& known) {
  const DeviceRecord& record = known.record;
  const std::string text = "the name '" + record.name + "' is that of " + record.device();
  if (known.engine_lives) return text + "; choose another";
  return text + " (" + record.backend + "), whose engine is gone; detach it, or choose another";
}

}  // namespace

std::optional<KnownDevice> attached_already(const Wanted& wanted, const RunFolder& folder,
                                            Log& log) {
  for (const KnownDevice& known : folder.devices()) {
    const DeviceRecord& record = known.record;
    const bool same_name = !wanted.command.name.empty() && record.name == wanted.command.name;
    if (record.id == wanted.id && known.engine_lives) {
      check_same(record, wanted);
      return known;
    }
    if (record.id == wanted.id) {
      if (difference(record, wanted).empty()) return known;
      clean_up_after(record, folder, log);
    } else if (same_name) {
      throw Failure(FailureKind::busy, name_taken_text(known));
    }
  }
  return std::nullopt;
}

std::vector<IdentityLock> lock_identity(const Wanted& wanted, const RunFolder& folder) {
  const Deadline others = Deadline::in(other_attach_wait);
  std::vector<IdentityLock> locks;
  locks.emplace_back(folder, IdentityLock::Of::id, wanted.id, others);
  if (!wanted.command.name.empty()) {
    locks.emplace_back(folder, IdentityLock::Of::name, wanted.command.name, others);
  }
  return locks;
}

OpenOptions open_options(const Wanted& wanted, Keepsakes* keepsakes) {
  OpenOptions options;
  options.read_only = wanted.command.read_only;
  options.layers = wanted.command.layers;
  options.tls = wanted.command.tls;
  options.lanes = wanted.command.connections.value_or(connections_here());
  if (wanted.command.recovery_window) options.recovery_window = *wanted.command.recovery_window;
  options.io_flusher = true;
  options.keepsakes = keepsakes;
  return options;
}

DeviceSettings device_settings(const Wanted& wanted, const Export& about,
                               const std::optional<DeviceRecord>& former) {
  DeviceSettings settings;
  settings.driver = attach_options(wanted, about);
  settings.name = wanted.command.name;
  settings.backend = wanted.backend;
  settings.bounds_log = wanted.bounds_log;
  if (!former) return settings;
  settings.driver.connections = former->connections;
  settings.driver.block_size = former->block_size;
  settings.driver.identifier = former->id;
  if (former->timeout > 0) settings.driver.timeout = std::chrono::seconds(former->timeout);
  settings.name = former->name;
  settings.former = former;
  return settings;
}

}  // namespace nbdring
