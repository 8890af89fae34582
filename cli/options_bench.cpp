// What the words of `bench` mean.

#include <algorithm>
#include <charconv>
#include <functional>
#include <string_view>

#include "cli/options_words.hpp"
#include "client/protocol/backend_spec.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr double theta_default = 1.1;  // fio's
constexpr double theta_max = 10;
constexpr std::uint64_t rounds_max = 1000;
constexpr unsigned rounds_compared = 3;  // one round says nothing about its own noise
constexpr milliseconds seconds_least{100};
constexpr milliseconds warm_up_max{1000};

[[noreturn]] void refuse(const std::string& text) { throw Failure(FailureKind::usage, text); }

std::vector<std::string> items_of(const std::string& list) {
  std::vector<std::string> items;
  std::size_t begin = 0;
  while (begin <= list.size()) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    items.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return items;
}

/// Each item of an option's list; what was not given is as if `otherwise` had been.
template <typename T>
std::vector<T> list_of(const CommandWords& words, const std::string& name,
                       const std::string& otherwise,
                       const std::function<T(const std::string&)>& item) {
  std::vector<T> values;
  for (const std::string& text : items_of(words.has(name) ? words.values.at(name) : otherwise)) {
    const T value = item(text);
    if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  return values;
}

std::optional<double> decimal(std::string_view text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

struct Order {
  Pattern pattern = Pattern::random;
  double theta = 0;
  friend bool operator==(const Order&, const Order&) = default;
};

Order parse_pattern(const std::string& text) {
  if (text == "sequential") return {Pattern::sequential, 0};
  if (text == "random") return {Pattern::random, 0};
  if (text == "zipf") return {Pattern::zipf, theta_default};
  constexpr std::string_view zipf = "zipf:";
  if (!text.starts_with(zipf)) {
    refuse("--pattern: '" + text + "' is not sequential, random, zipf or zipf:THETA");
  }
  const auto theta = decimal(std::string_view(text).substr(zipf.size()));
  if (!theta || !(*theta > 0) || *theta > theta_max) {
    refuse("--pattern: '" + text + "': THETA is a number above 0, up to 10, e.g. zipf:0.9");
  }
  return {Pattern::zipf, *theta};
}

std::uint64_t parse_block(const std::string& text) {
  const std::uint64_t size = parse_size(text, "--block-size");
  if (size >= bench_block_min && size <= bench_block_max && size % bench_block_min == 0) {
    return size;
  }
  refuse("--block-size: '" + text + "' is not a multiple of 512 bytes up to 32M");
}

unsigned small_number(const std::string& option, const std::string& text, std::uint64_t most) {
  return static_cast<unsigned>(parse_number(option, text, 1, most));
}

milliseconds parse_seconds(const std::string& text) {
  const auto seconds = decimal(text);
  const double most = static_cast<double>(seconds_max);
  if (seconds && *seconds * 1000 >= static_cast<double>(seconds_least.count()) &&
      *seconds <= most) {
    return milliseconds(static_cast<std::int64_t>(*seconds * 1000));
  }
  refuse("--seconds: '" + text + "' is not a number from 0.1 to " + std::to_string(seconds_max));
}

unsigned read_percent_of(const CommandWords& words, bool may_write, bool verify) {
  const std::uint64_t otherwise = may_write ? 0 : 100;
  const auto percent = static_cast<unsigned>(words.number("--reads", 0, 100, otherwise));
  if (may_write && percent == 100) {
    refuse("--reads: '100' leaves nothing for --write; leave one of them out");
  }
  if (verify && !may_write && percent == 100) {
    refuse("--verify compares what the bench has written; give --write as well");
  }
  return percent;
}

void add_points(const CommandWords& words, BenchSettings& settings) {
  const unsigned reads = read_percent_of(words, settings.may_write, settings.verify);
  const auto orders = list_of<Order>(words, "--pattern", "random", parse_pattern);
  const auto blocks = list_of<std::uint64_t>(words, "--block-size", "4k,256k", parse_block);
  const auto depths = list_of<unsigned>(words, "--depth", "1,32", [](const std::string& text) {
    return small_number("--depth", text, bench_depth_max);
  });
  const auto connections = list_of<unsigned>(
      words, "--connections", "1",
      [](const std::string& text) { return small_number("--connections", text, connections_max); });
  if (orders.size() * blocks.size() * depths.size() * connections.size() > bench_points_max) {
    refuse("bench: more than 1000 points to measure; list fewer values");
  }
  for (const Order& order : orders) {
    for (const std::uint64_t block : blocks) {
      for (const unsigned count : connections) {
        for (const unsigned depth : depths) {
          settings.points.push_back({order.pattern, order.theta, reads, block, depth, count});
        }
      }
    }
  }
}

void add_targets(const CommandWords& words, BenchSettings& settings) {
  const auto& compared = words.lists.at("--compare");
  if (words.has("BACKEND")) settings.targets.push_back(words.values.at("BACKEND"));
  settings.targets.insert(settings.targets.end(), compared.begin(), compared.end());
  if (words.has("--compare") && settings.targets.size() < 2) {
    refuse("--compare: '" + compared.front() + "' alone; name two or more");
  }
  if (settings.targets.size() > bench_targets_max) {
    refuse("--compare: more than 16 targets; leave some out");
  }
  if (settings.targets.empty()) {
    words.positional("BACKEND", "what to measure, e.g. `nbdring bench nbd://server/export`");
  }
}

}  // namespace

BenchCommand bench_of(const CommandWords& words) {
  BenchCommand command;
  BenchSettings& settings = command.settings;
  command.compare = words.has("--compare");
  add_targets(words, settings);
  settings.may_write = words.flags.at("--write");
  settings.verify = words.flags.at("--verify");
  add_points(words, settings);
  if (words.has("--seconds")) settings.run_time = parse_seconds(words.values.at("--seconds"));
  settings.warm_up = std::min(warm_up_max, settings.run_time / 10);
  settings.rounds = static_cast<unsigned>(
      words.number("--rounds", 1, rounds_max, command.compare ? rounds_compared : 1));
  if (words.has("--offset")) settings.offset = parse_size(words.values.at("--offset"), "--offset");
  if (words.has("--size")) settings.size = parse_size(words.values.at("--size"), "--size");
  if (settings.size == 0) refuse("--size: '" + words.values.at("--size") + "' is nothing");
  settings.seed = words.number("--seed", 0, ~std::uint64_t{0}, settings.seed);
  const bool json = words.flags.at("--json");
  const bool csv = words.flags.at("--csv");
  if (json && csv) refuse("bench: --json and --csv exclude each other; leave one out");
  if (json) command.form = BenchForm::json;
  if (csv) command.form = BenchForm::csv;
  if (words.has("--plot")) command.plot = words.values.at("--plot");
  command.layers = parse_layers(words.lists.at("--layer"));
  command.tls = remote_tls_of(words);
  return command;
}

}  // namespace nbdring
