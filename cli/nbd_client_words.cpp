// nbd-client's command line, taken apart.

#include <getopt.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "cli/help.hpp"
#include "cli/nbd_client.hpp"
#include "client/runtime/error.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

using Action = NbdClientCommand::Action;

constexpr std::uint64_t port_max = 65535;
constexpr std::uint64_t connections_asked_max = 1U << 16;

// The '-' in front: words that are no options come in their place, as option 1.
constexpr int word = 1;
constexpr const char* letters = "-A:B:b:C:c:d:F:gH:hK:lLmN:nPpRSsT:t:uVx";

const std::array<option, 27> names{{{"block-size", required_argument, nullptr, 'b'},
                                    {"cacertfile", required_argument, nullptr, 'A'},
                                    {"certfile", required_argument, nullptr, 'F'},
                                    {"check", required_argument, nullptr, 'c'},
                                    {"connections", required_argument, nullptr, 'C'},
                                    {"disconnect", required_argument, nullptr, 'd'},
                                    {"enable-tls", no_argument, nullptr, 'x'},
                                    {"help", no_argument, nullptr, 'h'},
                                    {"keyfile", required_argument, nullptr, 'K'},
                                    {"list", no_argument, nullptr, 'l'},
                                    {"name", required_argument, nullptr, 'N'},
                                    {"netlink", no_argument, nullptr, 'k'},
                                    {"no-optgo", no_argument, nullptr, 'g'},
                                    {"nofork", no_argument, nullptr, 'n'},
                                    {"nonetlink", no_argument, nullptr, 'L'},
                                    {"persist", no_argument, nullptr, 'p'},
                                    {"preinit", no_argument, nullptr, 'P'},
                                    {"readonly", no_argument, nullptr, 'R'},
                                    {"sdp", no_argument, nullptr, 'S'},
                                    {"size", required_argument, nullptr, 'B'},
                                    {"swap", no_argument, nullptr, 's'},
                                    {"systemd-mark", no_argument, nullptr, 'm'},
                                    {"timeout", required_argument, nullptr, 't'},
                                    {"tlshostname", required_argument, nullptr, 'H'},
                                    {"unix", no_argument, nullptr, 'u'},
                                    {"version", no_argument, nullptr, 'V'},
                                    {nullptr, 0, nullptr, 0}}};

constexpr const char* version_text =
    "This is nbd-client, from nbd 3.24; in truth it is nbdring " NBDRING_VERSION "\n";

[[noreturn]] void refuse(const std::string& what) {
  throw Failure(FailureKind::failed, what + "; see `nbd-client --help`");
}

bool is_number(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool reads_like_device(const std::string& text) {
  return !is_number(text) && device_index(text).has_value();
}

class Words {
 public:
  /// Empty: help or version was asked for, and `shown` is it.
  NbdClientCommand parse(std::vector<std::string> arguments);
  std::string shown;

 private:
  void take(int option, const std::string& value);
  void take_value(int option, const std::string& value);
  void take_flag(int option);
  void take_word(const std::string& value);
  void place_words();
  void means_nothing(const std::string& remark) { command_.remarks.push_back(remark); }
  void act(Action action, const std::string& target);

  NbdClientCommand command_;
  std::vector<std::string> words_;
  bool stays_ = false;
  bool has_no_netlink_ = false;
};

void Words::act(Action action, const std::string& target) {
  command_.action = action;
  command_.target = target;
}

void Words::take_value(int option, const std::string& value) {
  NbdClientDevice& device = command_.device;
  switch (option) {
    case 'A':
      device.cacertfile = value;
      break;
    case 'B':
      device.size = parse_number("-size", value, 1, UINT64_MAX);
      break;
    case 'b':
      device.block_size = parse_block_size("-block-size", value);
      break;
    case 'C':
      device.connections =
          static_cast<unsigned>(parse_number("-connections", value, 1, connections_asked_max));
      break;
    case 'F':
      device.certfile = value;
      break;
    case 'H':
      device.tls_hostname = value;
      break;
    case 'K':
      device.keyfile = value;
      break;
    case 'N':
      device.export_name = value;
      break;
    default:
      ENSURE(option == 'T' || option == 't');
      device.timeout = std::chrono::seconds(parse_number("-timeout", value, 0, UINT32_MAX));
  }
}

void Words::take_flag(int option) {
  switch (option) {
    case 'g':
      return means_nothing("-no-optgo: what the server understands is found out");
    case 'k':
      return;  // -netlink, the only way
    case 'L':
      has_no_netlink_ = true;
      return means_nothing("-nonetlink: netlink is the only way");
    case 'l':
      return act(Action::list, "");
    case 'm':
      command_.root_device = true;
      return;
    case 'n':
      stays_ = true;
      return;
    case 'p':
      return means_nothing("-persist: always so");
    case 'R':
      command_.device.read_only = true;
      return;
    case 's':
      return means_nothing("-swap: always so");
    case 'u':
      command_.device.is_unix = true;
      return;
    case 'x':
      command_.device.wants_tls = true;
      return;
    case 'P':
      refuse("-preinit: a server without a handshake cannot be used here");
    default:
      ENSURE(option == 'S');
      refuse("-sdp: the Sockets Direct Protocol cannot be used here");
  }
}

// "bs=1024" and "timeout=10" are how release 2 of nbd-client was told.
void Words::take_word(const std::string& value) {
  if (value.starts_with("bs=")) return take_value('b', value.substr(3));
  if (value.starts_with("timeout=")) return take_value('t', value.substr(8));
  words_.push_back(value);
}

void Words::take(int option, const std::string& value) {
  switch (option) {
    case word:
      return take_word(value);
    case 'c':
      return act(Action::check, value);
    case 'd':
      return act(Action::disconnect, value);
    case 'h':
      shown = help_text("nbd-client");
      return;
    case 'V':
      shown = version_text;
      return;
    default:
      return std::string_view("ABbCFHKNTt").find(static_cast<char>(option)) !=
                     std::string_view::npos
                 ? take_value(option, value)
                 : take_flag(option);
  }
}

// HOST [PORT] [DEVICE], PATH [DEVICE] or DEVICE.
void Words::place_words() {
  NbdClientDevice& device = command_.device;
  if (words_.empty()) refuse("no server and no device are given");
  if (words_.size() == 1 && command_.action == Action::connect && reads_like_device(words_[0])) {
    return act(Action::connect_from_tab, words_[0]);
  }
  auto next = words_.begin();
  device.host = *next++;
  if (next != words_.end() && !device.is_unix && is_number(*next)) {
    device.port = static_cast<std::uint16_t>(parse_number("port", *next++, 1, port_max));
  } else if (next == words_.end() && command_.action == Action::connect &&
             device.export_name.empty()) {
    refuse("'" + device.host + "' alone is neither a device nor enough of a server");
  }
  if (next != words_.end() && command_.action == Action::connect) {
    device.index = reads_like_device(*next) ? device_index(*next) : std::nullopt;
    if (!device.index) refuse("'" + *next + "' is not a device; write /dev/nbdN");
    ++next;
  }
  if (next != words_.end()) refuse("'" + *next + "' is one word too many");
}

NbdClientCommand Words::parse(std::vector<std::string> arguments) {
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const int count = static_cast<int>(arguments.size());
  ::optind = 0;  // from the start, also when it was used before
  ::opterr = 0;
  while (shown.empty()) {
    const int found = ::getopt_long_only(count, pointers.data(), letters, names.data(), nullptr);
    if (found < 0) break;
    if (found == '?') {
      refuse("option '" + arguments.at(static_cast<std::size_t>(::optind) - 1) +
             "' is not known, or lacks its value");
    }
    take(found, ::optarg == nullptr ? "" : ::optarg);
  }
  if (!shown.empty()) return command_;
  for (auto rest = ::optind; rest < count; ++rest) {
    words_.push_back(arguments[static_cast<std::size_t>(rest)]);  // behind "--"
  }
  if (command_.action == Action::connect || command_.action == Action::list) place_words();
  command_.foreground = stays_ && has_no_netlink_;
  if (stays_ && !has_no_netlink_) means_nothing("-nofork: it is -nonetlink that would stay");
  return command_;
}

}  // namespace

bool is_nbd_client(const std::string& program) {
  return program.substr(program.rfind('/') + 1) == "nbd-client";
}

AnyCommand parse_nbd_client(const std::vector<std::string>& arguments) {
  try {
    Words words;
    NbdClientCommand command = words.parse(arguments);
    if (!words.shown.empty()) return ShowText{words.shown};
    return command;
  } catch (const Failure& failure) {
    throw Failure(FailureKind::failed, failure.what());
  }
}

}  // namespace nbdring
