// nbdring: parse, run, and turn a failure into one line and an exit code.

#include <malloc.h>

#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "cli/nbd_client.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

struct Run {
  const CommonOptions& common;

  int operator()(const AttachCommand& command) const { return run_attach(command, common); }
  int operator()(const DetachCommand& command) const { return run_detach(command, common); }
  int operator()(const ListCommand& command) const { return run_list(command, common); }
  int operator()(const StatusCommand& command) const { return run_status(command, common); }
  int operator()(const ResizeCommand& command) const { return run_resize(command, common); }
  int operator()(const UpgradeCommand& command) const { return run_upgrade(command, common); }
  int operator()(const ServeCommand& command) const { return run_serve(command, common); }
  int operator()(const InfoCommand& command) const { return run_info(command, common); }
  int operator()(const GatewayCommand& command) const { return run_gateway(command, common); }
  int operator()(const ProxyCommand& command) const { return run_proxy(command, common); }
  int operator()(const TokenCommand& command) const { return run_token(command, common); }
  int operator()(const BenchCommand& command) const { return run_bench(command, common); }
  int operator()(const DoctorCommand& command) const { return run_doctor(command, common); }
  int operator()(const NbdClientCommand& command) const { return run_nbd_client(command, common); }
  int operator()(const SystemCommand& command) const { return run_system_command(command, common); }
  int operator()(const ShowText& command) const {
    print(command.text);
    return 0;
  }
};

void report(LogFormat format, const std::string& text) {
  if (format == LogFormat::json) {
    Log(LogLevel::error, format).error(text);
  } else {
    std::fprintf(stderr, "nbdring: %s\n", text.c_str());
  }
}

int run(int argc, char** argv) {
  LogFormat format = LogFormat::text;
  try {
    const Invocation invocation = parse_command_line(std::vector<std::string>(argv, argv + argc));
    format = invocation.common.log_format;
    return std::visit(Run{invocation.common}, invocation.command);
  } catch (const Failure& failure) {
    report(format, failure.what());
    return static_cast<int>(failure.kind());
  } catch (const std::exception& unforeseen) {
    report(format, std::string("failed: ") + unforeseen.what());
    return static_cast<int>(FailureKind::failed);
  }
}

}  // namespace
}  // namespace nbdring

int main(int argc, char** argv) {
  // One heap for all threads: what they need is small and made at the start, and a heap each would
  // cost resident memory.
  ::mallopt(M_ARENA_MAX, 1);
  return nbdring::run(argc, argv);
}
