#include "cli/bench/target.hpp"

#include <unistd.h>

#include <algorithm>

#include "backends/open.hpp"
#include "cli/bench/cpu.hpp"
#include "cli/bench/write_guard.hpp"
#include "cli/commands.hpp"
#include "cli/config_defaults.hpp"
#include "cli/report.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t verified_blocks_max = 1 << 26;  // 256 MiB of notes
constexpr std::uint64_t buffers_max = 1 << 30;          // bytes

/// What a name stands for.
struct Named {
  BackendSpec spec;
  std::string shown;               // in messages
  std::vector<std::string> notes;  // what else is known of it
  std::optional<int> engine;
};

// Only root may look where the records are, and need not be asked for a backend.
std::optional<KnownDevice> attached_device(const std::string& name, const RunFolder& devices) {
  if (::access(devices.path().c_str(), R_OK | X_OK) != 0) return std::nullopt;
  return devices.find(name);
}

BackendSpec device_spec(const std::string& path) {
  FileSpec spec;
  spec.path = path;
  spec.cache = FileSpec::Cache::none;
  return {spec, {}};
}

Named named_device(const DeviceRecord& record) {
  Named named{device_spec(record.device()), record.device(), {}, record.pid};
  if (!record.name.empty()) named.notes.push_back(record.name);
  return named;
}

Named resolve(const std::string& name, const TargetSources& sources, Log& log) {
  if (const auto device = attached_device(name, sources.devices)) {
    return named_device(device->record);
  }
  const auto index = device_index(name);
  if (index && !Sysfs().is_attached(*index)) {
    throw Failure(FailureKind::not_found,
                  "/dev/" + device_name(*index) + " is not attached; `nbdring list` shows what is");
  }
  const std::string path = index ? "/dev/" + device_name(*index) : name;
  if (is_block_device(path)) return {device_spec(path), path, {}, std::nullopt};
  return {backend_from(name, sources.config, sources.common, log), name, {}, std::nullopt};
}

std::string text_of(const BenchPoint& point) { return std::to_string(point.block_size); }

void check_range(BenchTarget& target, const BenchSettings& settings, const std::string& shown) {
  const std::uint64_t whole = target.backend->about().size;
  if (whole == 0) {
    throw Failure(FailureKind::failed, shown + " has no bytes; attach or make something larger");
  }
  if (settings.offset >= whole || settings.size.value_or(0) > whole - settings.offset) {
    throw Failure(FailureKind::usage,
                  "--offset " + std::to_string(settings.offset) + " and --size " +
                      std::to_string(settings.size.value_or(0)) + " do not lie within " + shown +
                      ", which has " + std::to_string(whole) + " bytes");
  }
  target.offset = settings.offset;
  target.size = settings.size.value_or(whole - settings.offset);
}

void check_point(const BenchTarget& target, const BenchPoint& point, bool verify,
                 const std::string& shown) {
  const BlockSizeConstraints& allowed = target.backend->about().block_size;
  const std::uint64_t blocks = target.size / point.block_size;
  std::string what;
  if (point.block_size % allowed.minimum != 0 || target.offset % allowed.minimum != 0) {
    what = " asks for multiples of " + std::to_string(allowed.minimum) + " bytes";
  } else if (point.block_size > allowed.maximum) {
    what = " takes at most " + std::to_string(allowed.maximum) + " bytes at once";
  } else if (blocks < point.connections) {
    what = ": the range has " + std::to_string(blocks) + " such blocks for " +
           std::to_string(point.connections) + " connections";
  } else if (verify && blocks > verified_blocks_max) {
    what = ": --verify keeps count of 67108864 blocks at most; limit it with --size";
  } else if (point.block_size * point.depth * point.connections > buffers_max) {
    what = ": blocks, depth and connections together need more than 1.0 GiB of buffers";
  }
  if (what.empty()) return;
  throw Failure(FailureKind::usage, "--block-size: '" + text_of(point) + "' with --offset " +
                                        std::to_string(target.offset) + ": " + shown + what);
}

void guard_writes(const BenchTarget& target, const BenchSettings& settings, const Named& named,
                  const std::vector<std::string>& users, Log& log) {
  if (!settings.writes()) return;
  std::vector<std::string> notes = named.notes;
  notes.insert(notes.end(), users.begin(), users.end());
  const WrittenRange range{target.offset, target.size, target.backend->about().size};
  const std::string loss = loss_text(range, named.shown, notes);
  if (!settings.may_write) {
    throw Failure(FailureKind::usage, "this writes: give --write, which overwrites " + loss);
  }
  refuse_used(named.shown, users);
  if (target.backend->about().is_read_only()) {
    throw Failure(FailureKind::failed,
                  named.shown + " is read-only and is not written; leave --write out");
  }
  log.warning("--write overwrites " + loss);
}

OpenOptions open_options(const BenchCommand& command, const Named& named, const Config& config) {
  const BenchSettings& settings = command.settings;
  OpenOptions options;
  options.read_only = !(settings.may_write && settings.writes());
  options.layers = command.layers;
  options.tls = with_defaults(command.tls, named.spec.form, config.tls);
  for (const BenchPoint& point : settings.points) {
    options.lanes = std::max(options.lanes, point.connections);
  }
  options.recovery_window = settings.silence_max;
  return options;
}

std::vector<std::string> users_of_target(const Named& named, const BenchSettings& settings) {
  const auto* file = std::get_if<FileSpec>(&named.spec.form);
  if (file == nullptr || !settings.writes()) return {};
  return users_of_path(file->path);
}

std::string socket_of(const BackendForm& form) {
  const auto* remote = std::get_if<UriSpec>(&form);
  if (remote == nullptr) return "";
  const bool is_unix = remote->uri.scheme == "nbd+unix" || remote->uri.scheme == "nbds+unix";
  return is_unix ? std::string(remote->uri.parameter("socket").value_or("")) : "";
}

}  // namespace

std::optional<std::chrono::nanoseconds> BenchTarget::engine_cpu() {
  if (!engine && !socket.empty()) engine = listener_of(socket);
  return engine ? cpu_of(*engine) : std::nullopt;
}

BenchTarget open_target(const BenchCommand& command, std::size_t index,
                        const TargetSources& sources, Log& log) {
  const BenchSettings& settings = command.settings;
  const Named named = resolve(settings.targets.at(index), sources, log);
  const auto users = users_of_target(named, settings);
  // Before it is opened: what is mounted cannot be, and why is better said by us.
  if (settings.may_write) refuse_used(named.shown, users);
  BenchTarget target;
  target.name = settings.targets[index];
  target.index = index;
  target.backend = open_backend(named.spec, open_options(command, named, sources.config), log);
  target.engine = named.engine;
  target.socket = socket_of(named.spec.form);
  check_range(target, settings, named.shown);
  guard_writes(target, settings, named, users, log);
  for (const BenchPoint& point : settings.points) {
    check_point(target, point, settings.verify, named.shown);
  }
  return target;
}

}  // namespace nbdring
