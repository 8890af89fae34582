// Endpoints whose connection is a child's standard input and output: ssh, and any command. A child
// per connection.

#include <sys/socket.h>

#include <mutex>
#include <vector>

#include "backends/nbd/endpoint_kinds.hpp"
#include "client/runtime/error.hpp"
#include "client/transport/socket.hpp"

namespace nbdring {
namespace {

struct Command {
  std::vector<std::string> arguments;
  std::string name;  // for messages, in front of what it says
  std::string text;  // of the endpoint
  bool reaches_one_server = false;
};

class CommandEndpoint final : public Endpoint {
 public:
  explicit CommandEndpoint(Command command)
      : command_(std::move(command)), directory_(current_folder()) {}

  Task<std::unique_ptr<Stream>> connect(Loop& loop, Clock::time_point deadline) override {
    FileDescriptor ours;
    const std::shared_ptr<Process> child = start(ours);
    const int error = co_await wait_first_byte(loop, ours.get(), deadline);
    if (error == 0) co_return stream_over(loop, std::move(ours));
    if (error != ETIMEDOUT) {
      co_await wait_last_words(loop, *child);
    }
    child->terminate();
    fail_unreachable(command_.text, reason(*child, error));
  }

  // Logging in takes longer than connecting.
  std::chrono::milliseconds connect_time() const override { return std::chrono::seconds(30); }
  bool reaches_one_server() const override { return command_.reaches_one_server; }
  bool is_private() const override { return true; }
  const std::string& text() const override { return command_.text; }

 private:
  // The children that have ended are let go of here: elsewhere somebody would wait for them.
  std::shared_ptr<Process> start(FileDescriptor& ours) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      fail_errno(FailureKind::failed, "cannot make a socketpair for " + command_.name);
    ours.reset(ends[0]);
    Process::Settings settings;
    settings.connection.reset(ends[1]);
    settings.arguments = command_.arguments;
    settings.directory = directory_;
    widen_unix(ends[0]);
    widen_unix(ends[1]);
    auto child = std::make_shared<Process>(std::move(settings));
    const std::lock_guard lock(mutex_);
    std::erase_if(children_, [](const auto& one) { return one->has_ended(); });
    children_.push_back(child);
    return child;
  }

  std::string reason(const Process& child, int error) const {
    const std::string words = why_silent(child, error);
    // Most programs name themselves.
    const std::string name = command_.name + ": ";
    return words.starts_with(name) ? words : name + words;
  }

  Command command_;
  std::string directory_;  // the engine leaves the folder that it was started in
  std::mutex mutex_;
  std::vector<std::shared_ptr<Process>> children_;
};

// One word for the far side's shell, whatever is in it.
std::string shell_word(std::string_view word) {
  std::string result = "'";
  for (const char c : word) {
    if (c == '\'') {
      result += "'\\''";
    } else {
      result += c;
    }
  }
  return result + "'";
}

std::string parameter(const Uri& uri, std::string_view name, std::string_view otherwise) {
  return std::string(uri.parameter(name).value_or(otherwise));
}

}  // namespace

std::unique_ptr<Endpoint> make_ssh_endpoint(const Uri& uri) {
  const std::string socket(*uri.parameter("socket"));
  Command command;
  command.name = "ssh";
  command.text = "the socket " + socket + " on " + uri.host + " by ssh";
  command.reaches_one_server = true;
  std::vector<std::string>& arguments = command.arguments;
  // Nobody is there to be asked for a password.
  arguments = {parameter(uri, "command", "ssh"), "-T", "-o", "BatchMode=yes"};
  if (uri.port) arguments.insert(arguments.end(), {"-p", std::to_string(*uri.port)});
  if (uri.user) arguments.insert(arguments.end(), {"-l", *uri.user});
  if (const auto key = uri.parameter("keyfile"))
    arguments.insert(arguments.end(), {"-i", std::string(*key)});
  arguments.insert(
      arguments.end(),
      {"--", uri.host, shell_word(parameter(uri, "netcat", "nc")) + " -U " + shell_word(socket)});
  return std::make_unique<CommandEndpoint>(std::move(command));
}

std::unique_ptr<Endpoint> make_command_endpoint(const Uri& uri) {
  const std::string line(*uri.parameter("command"));
  Command command;
  command.name = line.substr(0, line.find(' '));
  command.text = "the command " + line;
  command.arguments = {"/bin/sh", "-c", line};
  return std::make_unique<CommandEndpoint>(std::move(command));
}

}  // namespace nbdring
