#include "backends/layers/delay.hpp"

#include <array>
#include <cerrno>
#include <optional>

#include "backends/layers/layers_request.hpp"

namespace nbdring {
namespace {

using Kind = BackendRequest::Kind;
using std::chrono::milliseconds;
using Delays = std::array<milliseconds, request_kinds>;

constexpr std::uint64_t longest = 600'000;  // milliseconds

class DelayLane final : public RequestLane {
 public:
  DelayLane(std::unique_ptr<BackendLane> under, Loop& loop, const Delays& delays,
            const Patience& patience)
      : RequestLane(std::move(under)), loop_(loop), delays_(delays), patience_(patience) {}

 private:
  Task<Status> handle(BackendRequest request) override {
    const auto delay = delays_[static_cast<std::size_t>(request.kind)];
    return delay.count() == 0 ? perform(below(), request) : handle_late(request, delay);
  }
  Task<Status> handle_late(BackendRequest request, milliseconds delay) {
    const auto when = Clock::now() + delay;
    const Status waited = co_await patience_.last_until(loop_, when, is_given_up());
    if (!waited.is_ok()) co_return waited;
    co_return co_await perform(below(), request);
  }

  Loop& loop_;
  const Delays& delays_;
  const Patience& patience_;
};

class DelayBackend final : public LayerBackend {
 public:
  DelayBackend(std::unique_ptr<Backend> under, const Delays& delays)
      : LayerBackend(std::move(under)), delays_(delays) {}
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    return std::make_unique<DelayLane>(below().open_lane(loop), loop, delays_, patience_);
  }
  void abandon() noexcept override {
    patience_.abandon();
    LayerBackend::abandon();
  }

 private:
  const Delays delays_;
  Patience patience_;
};

std::size_t kind_named(std::string_view name, const LayerArgument& argument) {
  for (std::size_t kind = 0; kind < request_kinds; ++kind) {
    if (name_of(static_cast<Kind>(kind)) == name) return kind;
  }
  argument.refuse("'" + std::string(name) + "' is not a command");
}

}  // namespace

std::unique_ptr<Backend> make_delay_layer(std::unique_ptr<Backend> below,
                                          const LayerArgument& argument, Log&) {
  std::array<std::optional<milliseconds>, request_kinds> given;
  const auto parts = argument.parts();
  if (parts.empty()) argument.refuse("it does not say how long");
  for (const auto& [key, value] : parts) {
    if (!key.empty()) argument.refuse("'" + key + "=' is not understood");
    const std::size_t colon = value.find(':');
    const bool is_for_all = colon == std::string::npos;
    const std::string number = is_for_all ? value : value.substr(colon + 1);
    const milliseconds delay(argument.number(number, 0, longest));
    if (is_for_all && parts.size() > 1) argument.refuse("'" + value + "' is for every command");
    if (is_for_all) {
      given.fill(delay);
    } else {
      auto& one = given[kind_named(value.substr(0, colon), argument)];
      if (one) argument.refuse("it names '" + value.substr(0, colon) + "' twice");
      one = delay;
    }
  }
  const auto of = [&](Kind kind) { return given[static_cast<std::size_t>(kind)]; };
  Delays delays{};
  for (std::size_t kind = 0; kind < request_kinds; ++kind) {
    const bool is_like_write =
        static_cast<Kind>(kind) == Kind::trim || static_cast<Kind>(kind) == Kind::write_zeroes;
    const auto otherwise = is_like_write ? of(Kind::write) : std::nullopt;
    delays[kind] = given[kind].value_or(otherwise.value_or(milliseconds(0)));
  }
  return std::make_unique<DelayBackend>(std::move(below), delays);
}

}  // namespace nbdring
