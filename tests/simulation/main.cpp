// simulation [--world engine|remote|driver] [--seeds N] [--seed S] [--verbose]
//
// Runs seeds 1 to N, or the one seed S, of every world (the engine's lanes over a faulty backend; a
// remote device whose server crashes; an attached device whose connections are lost, paused and
// handed on) or of one, and stops at the first broken promise with the seed that shows it.
// --verbose tells every event; the same seed gives the same events in every run.

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/simulation/driver_world.hpp"
#include "tests/simulation/remote_world.hpp"
#include "tests/simulation/world.hpp"

namespace nbdring {
namespace {

struct SimulationOptions {
  std::uint64_t first = 1;
  std::uint64_t last = 10'000;
  bool verbose = false;
  std::string world;  // empty: all
};

// For the signal handler: an ENSURE that does not hold aborts, and its seed must be known too.
std::atomic<unsigned long long> current_seed{0};
std::atomic<const char*> current_world{"engine"};
static_assert(std::atomic<unsigned long long>::is_always_lock_free);
static_assert(std::atomic<const char*>::is_always_lock_free);

void tell_seed(int) {
  std::array<char, 150> line{};
  const unsigned long long seed = current_seed;
  const int length = std::snprintf(line.data(), line.size(),
                                   "simulation: aborted in seed %llu: run it with --world %s "
                                   "--seed %llu --verbose\n",
                                   seed, current_world.load(), seed);
  [[maybe_unused]] const ssize_t written =
      ::write(2, line.data(), static_cast<std::size_t>(length));
}

bool is_world(const std::string& name) {
  return name == "engine" || name == "remote" || name == "driver";
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
    } else if (argument == "--world" && has_value && is_world(arguments[i + 1])) {
      options.world = arguments[++i];
    } else {
      std::fprintf(stderr,
                   "usage: simulation [--world engine|remote|driver] [--seeds N] [--seed S] "
                   "[--verbose]\n");
      std::exit(2);
    }
  }
  return options;
}

template <typename AnyWorld>
void simulate(const SimulationOptions& options, const char* name) {
  if (!options.world.empty() && options.world != name) return;
  const auto begin = std::chrono::system_clock::now();
  current_world = name;
  std::uint64_t turns = 0, requests = 0;
  for (std::uint64_t seed = options.first; seed <= options.last; ++seed) {
    current_seed = seed;
    typename AnyWorld::Report report;
    if (options.verbose) {
      report.trace = [](const std::string& text) { std::printf("%s\n", text.c_str()); };
    }
    report.failed = [seed, name](const std::string& text) {
      std::fflush(stdout);
      std::fprintf(stderr, "simulation: %s world, seed %llu: %s\n", name,
                   static_cast<unsigned long long>(seed), text.c_str());
      std::_Exit(1);
    };
    AnyWorld world(seed, report);
    world.run();
    turns += world.turns();
    requests += world.requests();
  }
  const std::chrono::duration<double> took = std::chrono::system_clock::now() - begin;
  std::printf(
      "simulation: %s world, %llu seeds, %llu requests, %llu turns in %.1f s: every "
      "promise held\n",
      name, static_cast<unsigned long long>(options.last - options.first + 1),
      static_cast<unsigned long long>(requests), static_cast<unsigned long long>(turns),
      took.count());
}

int simulate(const SimulationOptions& options) {
  simulate<World>(options, "engine");
  simulate<RemoteWorld>(options, "remote");
  simulate<DriverWorld>(options, "driver");
  return 0;
}

}  // namespace
}  // namespace nbdring

int main(int count, char** arguments) {
  ::signal(SIGABRT, nbdring::tell_seed);
  return nbdring::simulate(nbdring::parse(count, arguments));
}
