#pragma once
// The commands: each does one thing and returns the program's exit code, or throws a Failure. One
// file each.

#include <memory>
#include <string>
#include <vector>

#include "cli/config.hpp"
#include "cli/options.hpp"
#include "client/protocol/backend_spec.hpp"

namespace nbdring {

int run_attach(const AttachCommand& command, const CommonOptions& common);
int run_detach(const DetachCommand& command, const CommonOptions& common);
int run_list(const ListCommand& command, const CommonOptions& common);
int run_status(const StatusCommand& command, const CommonOptions& common);
int run_resize(const ResizeCommand& command, const CommonOptions& common);
int run_upgrade(const UpgradeCommand& command, const CommonOptions& common);
int run_serve(const ServeCommand& command, const CommonOptions& common);
int run_info(const InfoCommand& command, const CommonOptions& common);
int run_gateway(const GatewayCommand& command, const CommonOptions& common);
int run_proxy(const ProxyCommand& command, const CommonOptions& common);
int run_token(const TokenCommand& command, const CommonOptions& common);
int run_bench(const BenchCommand& command, const CommonOptions& common);
int run_doctor(const DoctorCommand& command, const CommonOptions& common);
int run_system_command(const SystemCommand& command, const CommonOptions& common);

/// The configuration file, and in front of its names those of NBDRING_ROUTES. Without --config
/// there need not be a file. Keys that nobody knows are warnings, or failures with --strict.
Config config_of(const CommonOptions& common, Log& log);

/// The backend that an argument or the name of one names (backend_names.hpp). Parameters that it
/// does not know are warnings, or failures with --strict.
BackendSpec backend_from(const std::string& argument, const Config& config,
                         const CommonOptions& common, Log& log);

/// A line in the log for each, or the Failure of the first with --strict.
void warn_of(const std::vector<std::string>& warnings, const CommonOptions& common, Log& log);

/// Writes to standard output; a full disk or a closed pipe is a Failure.
void print(const std::string& text);

}  // namespace nbdring
