#include "cli/signals.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

sigset_t termination_set() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

TerminationSignals::TerminationSignals() {
  const sigset_t set = termination_set();
  ENSURE(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_.is_open()) fail_errno(FailureKind::failed, "cannot create a signalfd");
}

int TerminationSignals::take() noexcept {
  signalfd_siginfo information{};
  const ssize_t bytes = ::read(fd_.get(), &information, sizeof information);
  return bytes == sizeof information ? static_cast<int>(information.ssi_signo) : 0;
}

void TerminationSignals::leave() noexcept {
  fd_.reset();
  restore();
}

void TerminationSignals::restore() noexcept {
  const sigset_t set = termination_set();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace nbdring
