#include "cli/lookup.hpp"

#include <unistd.h>

#include "cli/commands.hpp"
#include "cli/identity.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// "disk.img" is not the identity file:/srv/disk.img, but who types it means it.
std::optional<KnownDevice> find_backend(const RunFolder& folder, const std::string& target,
                                        const CommonOptions& common) {
  Log log = common.log();
  const Config config = config_of(common, log);
  try {
    return folder.find(canonical_text(backend_from(target, config, common, log)));
  } catch (const Failure& failure) {
    if (failure.kind() != FailureKind::usage) throw;
    return std::nullopt;
  }
}

std::string attached_by_others(std::uint32_t index) {
  return "/dev/" + device_name(index) +
         " is attached, but not by nbdring; end it with the program that attached it";
}

}  // namespace

KnownDevice look_up(const RunFolder& folder, const std::string& target,
                    const CommonOptions& common) {
  auto found = folder.find(target);
  const auto index = device_index(target);
  if (!found && !index) found = find_backend(folder, target, common);
  if (found) return *found;
  if (index && Sysfs().is_attached(*index)) {
    throw Failure(FailureKind::not_found, attached_by_others(*index));
  }
  throw Failure(FailureKind::not_found,
                "'" + target + "' is not attached; `nbdring list` shows what is");
}

int with_each_device(const RunFolder& folder, Log& log,
                     const std::function<void(const KnownDevice&)>& turn) {
  int exit_code = 0;
  for (const KnownDevice& known : folder.devices()) {
    try {
      turn(known);
    } catch (const Failure& failure) {
      log.error(failure.what());
      if (exit_code == 0) exit_code = static_cast<int>(failure.kind());
    }
  }
  return exit_code;
}

}  // namespace nbdring
