// nbdring proxy, also called as nbd-proxy: one session over standard input and output.

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <utility>

#include "cli/commands.hpp"
#include "cli/config_jsnbd.hpp"
#include "cli/gateway_session.hpp"
#include "cli/notify.hpp"
#include "cli/signals.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr const char* config_default = "/etc/nbd-proxy/config.json";
constexpr const char* hook_default = "/etc/nbd-proxy/state";
constexpr const char* hooks_default = "/etc/nbd-proxy/state.d";

// --config: as the gateway has it. Else as jsnbd's nbd-proxy has it.
GatewaySettings settings_of(const ProxyCommand& command, const CommonOptions& common, Log& log) {
  if (common.config && !command.json_config) return config_of(common, log).gateway;
  GatewaySettings settings;
  std::vector<std::string> warnings;
  settings.configurations =
      read_jsnbd_config(command.json_config.value_or(config_default), warnings);
  warn_of(warnings, common, log);
  return settings;
}

SessionSettings session_settings(const ProxyCommand& command, const CommonOptions& common,
                                 const GatewaySettings& settings) {
  const auto* found = find_configuration(settings.configurations, command.configuration);
  if (found == nullptr && command.configuration.empty()) {
    throw Failure(FailureKind::usage,
                  "proxy: no configuration says it is the default; name one of them");
  }
  if (found == nullptr) {
    throw Failure(FailureKind::not_found,
                  "proxy: there is no configuration '" + command.configuration +
                      "'; `nbdring proxy --metadata` shows those that there are");
  }
  SessionSettings session;
  session.configuration = *found;
  session.kind = "proxy";
  session.hook_timeout = settings.hook_timeout;
  if (command.state_dir) {
    session.hooks.folders = {*command.state_dir};
  } else if (common.config) {
    session.hooks.folders = {settings.state_dir};
  } else {
    session.hooks = {{hook_default}, {hooks_default}};
  }
  return session;
}

// Nothing of ours must get between the protocol's bytes: standard input and output become
// /dev/null.
std::pair<FileDescriptor, FileDescriptor> take_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO}) {
    struct stat file {};
    if (::fstat(fd, &file) == 0 && (S_ISFIFO(file.st_mode) || S_ISSOCK(file.st_mode))) continue;
    throw Failure(FailureKind::usage,
                  "proxy: standard input and output are to be pipes or sockets with an NBD server "
                  "at the other end; start it from websocketd, say");
  }
  FileDescriptor input(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  FileDescriptor output(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  const FileDescriptor nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ENSURE(input.is_open() && output.is_open() && nothing.is_open());
  ::dup2(nothing.get(), STDIN_FILENO);
  ::dup2(nothing.get(), STDOUT_FILENO);
  return {std::move(input), std::move(output)};
}

// Until the session has ended; a signal asks for that.
void wait_for_end(GatewaySession& session, int ended, TerminationSignals& signals) {
  while (!session.state().has_ended) {
    std::array<pollfd, 2> sets{pollfd{ended, POLLIN, 0}, pollfd{signals.fd(), POLLIN, 0}};
    ENSURE(::poll(sets.data(), sets.size(), -1) >= 0 || errno == EINTR);
    if (sets[1].revents == 0 || signals.take() == 0) continue;
    signals.restore();  // who asks a second time does not want to wait
    notify_stopping();
    session.end(GatewaySession::End::gateway_ends);
  }
}

}  // namespace

int run_proxy(const ProxyCommand& command, const CommonOptions& common) {
  Log log = common.log();
  const GatewaySettings settings = settings_of(command, common, log);
  if (command.metadata) {
    print(metadata_line(settings.configurations) + "\n");
    return 0;
  }
  SessionSettings session = session_settings(command, common, settings);
  TerminationSignals signals;
  auto [input, output] = take_streams();
  const FileDescriptor ended(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ended.is_open()) fail_errno(FailureKind::failed, "cannot create an eventfd");
  const auto tell = [fd = ended.get()] {
    constexpr std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof one);
  };
  GatewaySession running(std::move(session), make_pipe_source(std::move(input), std::move(output)),
                         nullptr, tell, log);
  wait_for_end(running, ended.get(), signals);
  const SessionState state = running.state();
  return state.error.empty() ? 0 : static_cast<int>(state.kind);
}

}  // namespace nbdring
