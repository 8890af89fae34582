#include "cli/resize_device.hpp"

#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/cut_off.hpp"
#include "cli/report.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using Clock = std::chrono::steady_clock;

std::string in_words(std::uint64_t bytes) {
  return bytes_text(bytes) + " (" + std::to_string(bytes) + " bytes)";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

/// One request for another size. Failure says why not; the device is as it was then.
class Resize {
 public:
  Resize(const ResizeParts& parts, bool force) : parts_(parts), force_(force) {
    result_.before = result_.size = parts.record.size;
  }

  ResizeResult run(std::optional<std::uint64_t> wanted) {
    check_state();
    const std::uint64_t size = wanted ? given_size(*wanted) : size_of_backend();
    if (size != parts_.record.size) set_size(size);
    return result_;
  }

 private:
  const std::string device() const { return parts_.record.device(); }

  [[noreturn]] void fail(FailureKind kind, const std::string& why) const {
    throw Failure(kind, device() + " is not resized: " + why);
  }

  // The driver changes the size only when everything in flight has ended: what cannot end now
  // would hold it, and every user of generic netlink with it.
  void check_state() {
    const BackendHealth health = parts_.served.backend().health();
    if (!health.state.empty() && health.state != "serving") {
      fail(FailureKind::unreachable, health.endpoint + " is away; try again when it is back");
    }
    if (parts_.record.recovering) {
      fail(FailureKind::busy, "its engine has just been replaced; try again in a moment");
    }
  }

  std::uint64_t given_size(std::uint64_t wanted) {
    const std::uint64_t block = parts_.record.block_size;
    if (wanted % block != 0) {
      fail(FailureKind::usage, std::to_string(wanted) +
                                   " bytes are not a multiple of its block "
                                   "size, " +
                                   std::to_string(block) + ": say " +
                                   std::to_string(wanted - wanted % block));
    }
    if (wanted < parts_.record.size) check_smaller(wanted);
    if (wanted <= parts_.served.backend().about().size) return wanted;
    const std::string why_not = grow_backend(wanted);
    const std::uint64_t there = swap();
    if (there >= wanted) return wanted;
    fail(FailureKind::failed, "its backend has " + in_words(there) + " and not " +
                                  in_words(wanted) + (why_not.empty() ? "" : ": " + why_not));
  }

  // Why it did not grow; empty: it did. It may be large enough all the same: a server's export is
  // made larger there.
  std::string grow_backend(std::uint64_t size) {
    try {
      parts_.served.grow_backend(size);
      return "";
    } catch (const Failure& failure) {
      return failure.what();
    }
  }

  std::uint64_t size_of_backend() {
    const std::uint64_t there = swap();
    const std::uint64_t size = there - there % parts_.record.block_size;
    if (size == 0) fail(FailureKind::failed, "its backend has less than a block now");
    if (size < parts_.record.size) check_smaller(size);
    return size;
  }

  void check_smaller(std::uint64_t size) const {
    const auto index = parts_.record.index;
    const std::string loss =
        in_words(size) + " would cut " + in_words(parts_.record.size - size) + " off";
    if (!force_) fail(FailureKind::failed, loss + "; --force does it");
    const auto users = users_behind(index, size);
    if (!users.empty()) {
      fail(FailureKind::busy, loss + " under somebody's hands: " + joined(users) +
                                  "; make that smaller, or free it, first");
    }
    const auto partitions = partitions_behind(index, size);
    parts_.log.warning("cut off from a device",
                       {{"device", device()},
                        {"bytes", std::to_string(parts_.record.size - size)},
                        {"partitions", partitions.empty() ? "none" : joined(partitions)}});
  }

  std::uint64_t swap() {
    const auto began = Clock::now();
    const std::uint64_t there = swap_backend();
    const auto stall = std::chrono::ceil<std::chrono::milliseconds>(Clock::now() - began);
    result_.stall_ms += static_cast<std::uint64_t>(stall.count());
    return there;
  }

  std::uint64_t swap_backend() {
    try {
      return parts_.served.swap_backend(Deadline::in(swap_wait));
    } catch (const Failure& failure) {
      fail(failure.kind(), failure.what());
    }
  }

  void set_size(std::uint64_t size) {
    parts_.attachment.set_size(size, size_wait);
    parts_.record.size = result_.size = size;
    parts_.record_file.update(parts_.record);
    parts_.log.info("resized", {{"device", device()},
                                {"from", std::to_string(result_.before)},
                                {"to", std::to_string(size)}});
  }

  const ResizeParts& parts_;
  bool force_;
  ResizeResult result_;
};

}  // namespace

ControlReply resize_device(const ResizeParts& parts, std::optional<std::uint64_t> size,
                           bool force) {
  try {
    return {0, "", to_body(Resize(parts, force).run(size))};
  } catch (const Failure& failure) {
    return {static_cast<int>(failure.kind()), failure.what(), ""};
  }
}

std::string to_body(const ResizeResult& result) {
  return nlohmann::ordered_json{
      {"before", result.before}, {"size", result.size}, {"stall_ms", result.stall_ms}}
      .dump();
}

std::optional<ResizeResult> resize_result(const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  try {
    return ResizeResult{json.at("before").get<std::uint64_t>(),
                        json.at("size").get<std::uint64_t>(),
                        json.at("stall_ms").get<std::uint64_t>()};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

}  // namespace nbdring
