#include "backends/layers/error.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <random>

#include "backends/layers/layers_request.hpp"

namespace nbdring {
namespace {

using Kind = BackendRequest::Kind;

struct Fault {
  int error = 0;
  double percent = 100;
  std::optional<Kind> kind;  // none: every one
  std::string file;          // empty: always
};

class ErrorLane final : public RequestLane {
 public:
  ErrorLane(std::unique_ptr<BackendLane> under, const Fault& fault, std::uint64_t seed)
      : RequestLane(std::move(under)), fault_(fault), random_(seed) {}

 private:
  Task<Status> handle(BackendRequest request) override {
    return hits(request.kind) ? fail() : perform(below(), request);
  }
  Task<Status> fail() { co_return Status::from_errno(fault_.error); }

  bool hits(Kind kind) {
    if (fault_.kind && *fault_.kind != kind) return false;
    if (fault_.percent < 100 && percents_(random_) >= fault_.percent) return false;
    return fault_.file.empty() || ::access(fault_.file.c_str(), F_OK) == 0;
  }

  const Fault& fault_;
  std::mt19937_64 random_;
  std::uniform_real_distribution<double> percents_{0, 100};
};

class ErrorBackend final : public LayerBackend {
 public:
  ErrorBackend(std::unique_ptr<Backend> under, Fault fault)
      : LayerBackend(std::move(under)), fault_(std::move(fault)), seed_(std::random_device()()) {}
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    return std::make_unique<ErrorLane>(below().open_lane(loop), fault_, seed_++);
  }

 private:
  const Fault fault_;
  std::atomic<std::uint64_t> seed_;
};

std::optional<int> errno_named(std::string_view name) {
  constexpr std::pair<std::string_view, int> names[] = {
      {"EPERM", EPERM},     {"EIO", EIO},
      {"ENOMEM", ENOMEM},   {"EINVAL", EINVAL},
      {"ENOSPC", ENOSPC},   {"EOVERFLOW", EOVERFLOW},
      {"ENOTSUP", ENOTSUP}, {"ESHUTDOWN", ESHUTDOWN},
  };
  for (const auto& [known, error] : names) {
    if (known == name) return error;
  }
  return std::nullopt;
}

std::optional<Kind> kind_named(std::string_view name) {
  for (std::size_t kind = 0; kind < request_kinds; ++kind) {
    if (name_of(static_cast<Kind>(kind)) == name) return static_cast<Kind>(kind);
  }
  return std::nullopt;
}

double percent_of(const std::string& text, const LayerArgument& argument) {
  double percent = 0;
  const char* end = text.data() + text.size() - 1;  // the '%'
  const auto [stop, error] = std::from_chars(text.data(), end, percent, std::chars_format::fixed);
  if (error != std::errc() || stop != end || !(percent >= 0 && percent <= 100)) {
    argument.refuse("'" + text + "' is not a share from 0% to 100%");
  }
  return percent;
}

void add_part(Fault& fault, const std::string& part, const LayerArgument& argument) {
  if (part.ends_with('%')) {
    fault.percent = percent_of(part, argument);
  } else if (const auto kind = kind_named(part); kind && !fault.kind) {
    fault.kind = kind;
  } else {
    argument.refuse("'" + part + "' is not understood");
  }
}

Fault parse(const LayerArgument& argument) {
  std::string text = argument.text();
  Fault fault;
  if (const std::size_t at = text.find(":file="); at != std::string::npos) {
    fault.file = text.substr(at + std::string_view(":file=").size());
    text.resize(at);
    if (fault.file.empty()) argument.refuse("file= names none");
    // The engine leaves its working directory.
    fault.file = std::filesystem::absolute(fault.file).string();
  }
  std::size_t begin = std::min(text.find(':'), text.size());
  const auto error = errno_named(text.substr(0, begin));
  if (!error) argument.refuse("'" + text.substr(0, begin) + "' is not an error that NBD has");
  fault.error = *error;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(':', begin + 1), text.size());
    add_part(fault, text.substr(begin + 1, end - begin - 1), argument);
    begin = end;
  }
  return fault;
}

}  // namespace

std::unique_ptr<Backend> make_error_layer(std::unique_ptr<Backend> below,
                                          const LayerArgument& argument, Log&) {
  return std::make_unique<ErrorBackend>(std::move(below), parse(argument));
}

}  // namespace nbdring
