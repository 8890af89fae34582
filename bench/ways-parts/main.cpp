// What the kernel's ways to receive, to answer and to read a disk cost beside those that the
// program uses: bench/ways builds and runs it.
//
//   ways [--seconds S] [--rounds N] [--file PATH]
//
// Every round runs every way once; a figure is the median of the rounds, a ratio the median of the
// rounds' ratios to the first way, which is the program's, with the smallest and the largest.

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <stdexcept>

#include "bench/ways-parts/ways.hpp"

namespace ways {

double now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double cpu_used() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto microseconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
}

void fail(const std::string& what, int error) {
  throw std::runtime_error(what + ": " + std::strerror(error));
}

Ring::Ring(unsigned flags) {
  io_uring_params parameters{};
  parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | flags;
  const int result = io_uring_queue_init_params(256, &ring, &parameters);
  if (result < 0) fail("io_uring", -result);
  io_uring_register_ring_fd(&ring);
}

io_uring_sqe& Ring::entry() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  if (sqe == nullptr) throw std::runtime_error("the submission queue is full");
  return *sqe;
}

void Ring::wait() {
  const int result = io_uring_submit_and_wait(&ring, 1);
  if (result < 0 && result != -EINTR) fail("waiting in the ring", -result);
}

namespace {

struct Settings {
  double seconds = 1;
  int rounds = 5;
  std::string file;
};

using Rounds = std::map<std::string, std::vector<Figures>>;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <typename Member>
std::vector<double> column(const std::vector<Figures>& rounds, Member member) {
  std::vector<double> values;
  for (const Figures& round : rounds) values.push_back(round.*member);
  return values;
}

template <typename Member>
std::string ratio(const std::vector<Figures>& ours, const std::vector<Figures>& base,
                  Member member) {
  std::vector<double> values;
  for (std::size_t i = 0; i < ours.size(); ++i) values.push_back(ours[i].*member / base[i].*member);
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  char text[64];
  std::snprintf(text, sizeof text, "%.2f (%.2f-%.2f)", median(values), *least, *most);
  return text;
}

void print(const Ways& ways, const Rounds& all) {
  const auto ours = all.find(ways.front()->name());
  if (ours == all.end()) return;
  const auto& base = ours->second;
  std::printf("  %-36s %9s %8s %8s   %-17s %s\n", "", "per s", "CPU us", "p50 us", "rate ratio",
              "CPU ratio");
  for (const auto& way : ways) {
    const auto found = all.find(way->name());
    if (found == all.end()) continue;
    const auto& rounds = found->second;
    std::printf("  %-36s %9.0f %8.2f %8.1f   %-17s %s\n", way->name().c_str(),
                median(column(rounds, &Figures::per_second)),
                median(column(rounds, &Figures::cpu_us)), median(column(rounds, &Figures::p50_us)),
                ratio(rounds, base, &Figures::per_second).c_str(),
                ratio(rounds, base, &Figures::cpu_us).c_str());
  }
}

void compare(const char* title, const Ways& ways, unsigned depth, const Settings& settings) {
  std::printf("\n%s, depth %u\n", title, depth);
  Rounds all;
  for (const auto& way : ways) {
    try {
      way->measure(depth, 0.05);
    } catch (const std::exception& error) {
      std::printf("  %-36s not to be had: %s\n", way->name().c_str(), error.what());
      continue;
    }
    all[way->name()];
  }
  for (int i = 0; i < settings.rounds; ++i) {
    for (const auto& way : ways) {
      const auto found = all.find(way->name());
      if (found != all.end()) found->second.push_back(way->measure(depth, settings.seconds));
    }
  }
  print(ways, all);
  std::fflush(stdout);
}

Settings parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) throw std::runtime_error(name + " has no value");
    if (name == "--seconds") {
      settings.seconds = std::strtod(argv[i + 1], nullptr);
    } else if (name == "--rounds") {
      settings.rounds = std::atoi(argv[i + 1]);
    } else if (name == "--file") {
      settings.file = argv[i + 1];
    } else {
      throw std::runtime_error("unknown option " + name);
    }
  }
  if (settings.seconds <= 0 || settings.rounds <= 0) {
    throw std::runtime_error("--seconds and --rounds are to be more than 0");
  }
  return settings;
}

}  // namespace
}  // namespace ways

int main(int argc, char** argv) {
  try {
    const ways::Settings settings = ways::parse(argc, argv);
    const ways::Ways sockets = ways::socket_ways();
    ways::compare("requests over a Unix socket", sockets, 1, settings);
    ways::compare("requests over a Unix socket", sockets, 32, settings);
    if (!settings.file.empty()) {
      ways::compare("4 KiB reads with O_DIRECT", ways::disk_ways(settings.file), 32, settings);
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ways: %s\n", error.what());
    return 1;
  }
}
