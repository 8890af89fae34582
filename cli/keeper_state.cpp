#include "cli/keeper_state.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using nlohmann::json;

constexpr const char* variable = "NBDRING_RESUME";
constexpr std::size_t state_bytes_max = 256 * 1024;

json json_of(const FormerEngine& former) {
  return {{"record", to_json(former.record)},
          {"cause", former.cause},
          {"ended", former.ended.time_since_epoch().count()},
          {"alive", former.is_alive}};
}

json json_of(const Passed& passed) {
  json kept = json::object();
  for (const auto& [name, fd] : passed.state.kept) kept[name] = fd.get();
  json all{{"to", passed.to == Passed::To::keeper ? "keeper" : "engine"},
           {"directory", passed.state.directory},
           {"background", passed.state.in_background},
           {"restarts", passed.state.restarts},
           {"stalls", passed.state.stalls},
           {"kept", std::move(kept)},
           {"partner", passed.partner},
           {"channel", passed.channel.get()}};
  if (passed.state.record) all["record"] = to_json(*passed.state.record);
  if (passed.former) all["former"] = json_of(*passed.former);
  return all;
}

[[noreturn]] void fail_unknown() {
  throw Failure(FailureKind::failed,
                std::string("what ") + variable +
                    " names was not written by an nbdring: unset it and try again");
}

DeviceRecord record_of(const json& text) {
  auto record = record_from_json(text.get<std::string>());
  if (!record) fail_unknown();
  return std::move(*record);
}

// It is an open descriptor, and children that are no engines do not get it.
FileDescriptor inherited(const json& number) {
  const int fd = number.get<int>();
  if (fd <= STDERR_FILENO || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) fail_unknown();
  return FileDescriptor(fd);
}

FormerEngine former_of(const json& all) {
  FormerEngine former;
  former.record = record_of(all.at("record"));
  former.cause = all.at("cause").get<std::string>();
  using Moment = Deadline::Clock::time_point;
  former.ended = Moment(Moment::duration(all.at("ended").get<std::int64_t>()));
  former.is_alive = all.at("alive").get<bool>();
  return former;
}

Passed passed_of(const json& all) {
  Passed passed;
  passed.to = all.at("to") == "keeper" ? Passed::To::keeper : Passed::To::engine;
  passed.state.directory = all.at("directory").get<std::string>();
  passed.state.in_background = all.at("background").get<bool>();
  passed.state.restarts = all.at("restarts").get<std::uint64_t>();
  passed.state.stalls = all.at("stalls").get<std::uint64_t>();
  for (const auto& [name, fd] : all.at("kept").items()) passed.state.kept[name] = inherited(fd);
  passed.partner = all.at("partner").get<int>();
  passed.channel = inherited(all.at("channel"));
  if (all.contains("record")) passed.state.record = record_of(all.at("record"));
  if (all.contains("former")) passed.former = former_of(all.at("former"));
  return passed;
}

std::string read_at_start(int fd) {
  std::string text(state_bytes_max, '\0');
  const ssize_t bytes = ::pread(fd, text.data(), text.size(), 0);
  text.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
  return text;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Passage::Passage(const std::string& program, const Passed& passed)
    : program_(program), memory_(::memfd_create("nbdring-state", MFD_CLOEXEC)) {
  const std::string text = json_of(passed).dump();
  if (!memory_.is_open() || ::write(memory_.get(), text.data(), text.size()) != std::ssize(text)) {
    fail_errno(FailureKind::failed, "cannot write a file in memory");
  }
  for (const auto& [name, fd] : passed.state.kept) inherited_.push_back(fd.get());
  inherited_.push_back(passed.channel.get());
  inherited_.push_back(memory_.get());
  arguments_ = command_line();
  const std::string ours = std::string(variable) + "=";
  for (char** text_at = environ; *text_at != nullptr; ++text_at) {
    if (!std::string_view(*text_at).starts_with(ours)) environment_.emplace_back(*text_at);
  }
  environment_.push_back(ours + std::to_string(memory_.get()));
  argument_pointers_ = pointers_to(arguments_);
  environment_pointers_ = pointers_to(environment_);
}

void Passage::set_inherited(bool inherited) noexcept {
  for (const int fd : inherited_) ::fcntl(fd, F_SETFD, inherited ? 0 : FD_CLOEXEC);
}

int Passage::execute() noexcept {
  set_inherited(true);
  ::execve(program_.c_str(), argument_pointers_.data(), environment_pointers_.data());
  const int error = errno;
  set_inherited(false);
  return error;
}

std::optional<Passed> take_passed() {
  const char* const number = std::getenv(variable);
  if (number == nullptr) return std::nullopt;
  const std::string text = number;
  ::unsetenv(variable);
  try {
    const FileDescriptor memory = inherited(json(std::atoi(text.c_str())));
    return passed_of(json::parse(read_at_start(memory.get())));
  } catch (const json::exception&) {
    fail_unknown();
  }
}

// A leading '@' is the mark of a process that carries the root file system (systemd).
std::vector<std::string> command_line() {
  static const std::vector<std::string> words = [] {
    std::ifstream file("/proc/self/cmdline", std::ios::binary);
    std::vector<std::string> found;
    for (std::string word; std::getline(file, word, '\0');) found.push_back(word);
    if (found.empty()) found.emplace_back("nbdring");
    if (found.front().starts_with('@')) found.front().erase(0, 1);
    return found;
  }();
  return words;
}

}  // namespace nbdring
