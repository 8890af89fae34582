// simulation [--seeds N] [--seed S] [--verbose]
//
// Runs seeds 1 to N, or the one seed S, and stops at the first broken promise with the seed that
// shows it. --verbose tells every event; the same seed gives the same events in every run.

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/simulation/world.hpp"

namespace nbdring {
namespace {

struct SimulationOptions {
  std::uint64_t first = 1;
  std::uint64_t last = 10'000;
  bool verbose = false;
};

// For the signal handler: an ENSURE that does not hold aborts, and its seed must be known too.
std::atomic<unsigned long long> current_seed{0};
static_assert(std::atomic<unsigned long long>::is_always_lock_free);

void tell_seed(int) {
  std::array<char, 100> line{};
  const unsigned long long seed = current_seed;
  const int length = std::snprintf(line.data(), line.size(),
                                   "simulation: aborted in seed %llu: run it with --seed %llu "
                                   "--verbose\n",
                                   seed, seed);
  [[maybe_unused]] const ssize_t written =
      ::write(2, line.data(), static_cast<std::size_t>(length));
}

SimulationOptions parse(int count, char** arguments) {
  SimulationOptions options;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    const bool has_value = i + 1 < count;
    if (argument == "--verbose") {
      options.verbose = true;
    } else if (argument == "--seeds" && has_value) {
      options.last = std::strtoull(arguments[++i], nullptr, 10);
    } else if (argument == "--seed" && has_value) {
      options.first = options.last = std::strtoull(arguments[++i], nullptr, 10);
    } else {
      std::fprintf(stderr, "usage: simulation [--seeds N] [--seed S] [--verbose]\n");
      std::exit(2);
    }
  }
  return options;
}

int simulate(const SimulationOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t turns = 0, requests = 0;
  for (std::uint64_t seed = options.first; seed <= options.last; ++seed) {
    current_seed = seed;
    World::Report report;
    if (options.verbose) {
      report.trace = [](const std::string& text) { std::printf("%s\n", text.c_str()); };
    }
    report.failed = [seed](const std::string& text) {
      std::fflush(stdout);
      std::fprintf(stderr, "simulation: seed %llu: %s\n", static_cast<unsigned long long>(seed),
                   text.c_str());
      std::_Exit(1);
    };
    World world(seed, report);
    world.run();
    turns += world.turns();
    requests += world.requests();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("simulation: %llu seeds, %llu requests, %llu turns in %.1f s: every promise held\n",
              static_cast<unsigned long long>(options.last - options.first + 1),
              static_cast<unsigned long long>(requests), static_cast<unsigned long long>(turns),
              took.count());
  return 0;
}

}  // namespace
}  // namespace nbdring

int main(int count, char** arguments) {
  ::signal(SIGABRT, nbdring::tell_seed);
  return nbdring::simulate(nbdring::parse(count, arguments));
}
