#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "cli/commands.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

namespace {

Config configuration_file(const CommonOptions& common) {
  const std::string path = common.config.value_or(std::string(config_path_default));
  if (auto config = read_config(path, ::geteuid())) return std::move(*config);
  if (!common.config) return {};
  throw Failure(FailureKind::usage,
                "--config: '" + path + "' does not exist; name a file that does, or leave it out");
}

// What an alias stands for is not what the user sees before them: the message says where it is.
BackendSpec parse_resolved(const ResolvedName& resolved) {
  try {
    return parse_backend_spec(resolved.text);
  } catch (const Failure& failure) {
    if (resolved.by.empty()) throw;
    throw Failure(failure.kind(), "the alias " + resolved.by + ": " + failure.what());
  }
}

}  // namespace

void warn_of(const std::vector<std::string>& warnings, const CommonOptions& common, Log& log) {
  for (const std::string& warning : warnings) {
    if (common.strict)
      throw Failure(FailureKind::usage, warning + "; --strict makes this an error");
    log.warning(warning);
  }
}

Config config_of(const CommonOptions& common, Log& log) {
  Config config = configuration_file(common);
  warn_of(config.warnings, common, log);
  const char* const text = std::getenv("NBDRING_ROUTES");
  Aliases aliases = parse_routes(text == nullptr ? "" : text);
  aliases.merge(config.aliases);  // a name that is there already stays as it is
  config.aliases = std::move(aliases);
  return config;
}

BackendSpec backend_from(const std::string& argument, const Config& config,
                         const CommonOptions& common, Log& log) {
  const ResolvedName resolved = resolve_backend_name(argument, config.aliases);
  BackendSpec spec = parse_resolved(resolved);
  if (!resolved.by.empty()) {
    log.debug("the backend is an alias", {{"name", argument}, {"is", to_text(spec.form)}});
    if (::access(argument.c_str(), F_OK) == 0) {
      log.debug("there is a file of this name as well; write ./NAME for it", {{"name", argument}});
    }
  }
  warn_of(spec.warnings, common, log);
  return spec;
}

void print(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) {
    fail_errno(FailureKind::failed, "cannot write to standard output");
  }
}

}  // namespace nbdring
