#include "backends/nbd/replay.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "client/runtime/scope.hpp"

namespace nbdring {
namespace {

constexpr std::size_t batch_max = 32;  // at once

/// The entries of all journals, oldest acknowledgement first.
class Merged {
 public:
  Merged(const std::vector<const Journal*>& journals, std::uint64_t durable) : durable_(durable) {
    for (const Journal* journal : journals) cursors_.emplace_back(*journal);
    find();
  }
  bool at_end() const { return !next_; }
  const Journal::Entry& entry() const { return *next_; }
  void advance() {
    cursors_[from_].advance();
    find();
  }

 private:
  void find() {
    next_.reset();
    for (std::size_t i = 0; i < cursors_.size(); ++i) {
      Journal::Cursor& cursor = cursors_[i];
      while (!cursor.at_end() && cursor.entry().sequence <= durable_) cursor.advance();
      if (cursor.at_end()) continue;
      const Journal::Entry entry = cursor.entry();
      if (next_ && next_->sequence < entry.sequence) continue;
      next_ = entry;
      from_ = i;
    }
  }

  std::uint64_t durable_;
  std::vector<Journal::Cursor> cursors_;
  std::optional<Journal::Entry> next_;
  std::size_t from_ = 0;
};

/// Entries that may be written in any order.
struct Batch {
  std::array<BackendRequest, batch_max> requests;
  std::array<Answer, batch_max> answers;
  std::size_t count = 0;

  bool takes(const BackendRequest& request) const {
    const auto end = requests.begin() + static_cast<std::ptrdiff_t>(count);
    return count < batch_max && std::none_of(requests.begin(), end, [&](const auto& other) {
             return request.offset < other.offset + other.length &&
                    other.offset < request.offset + request.length;
           });
  }
};

Task<void> write_one(Loop&, Link& link, const BackendRequest& request, Answer& answer) {
  answer = co_await perform(link.shape, request);
}

// A server may refuse to trim what it is told to: the blocks' content is undefined then as well.
const Answer* first_failure(const Batch& batch) {
  for (std::size_t i = 0; i < batch.count; ++i) {
    const bool is_trim = batch.requests[i].kind == BackendRequest::Kind::trim;
    const Answer& answer = batch.answers[i];
    if (answer.is_lost || (!answer.status.is_ok() && !is_trim)) return &answer;
  }
  return nullptr;
}

std::string failure_text(const Link& link, const Answer& answer, const char* what) {
  if (answer.is_lost) return link.connection.lost_reason();
  return std::string("the server refuses ") + what + ": " + error_text(answer.status.error());
}

}  // namespace

Task<Replay> replay(Loop& loop, Link& link, std::vector<const Journal*> journals,
                    std::uint64_t durable) {
  Replay result;
  Merged merged(journals, durable);
  Scope writes(loop.frames());
  Batch batch;
  while (!merged.at_end()) {
    batch.count = 0;
    while (!merged.at_end() && batch.takes(merged.entry().request)) {
      const BackendRequest& request = merged.entry().request;
      batch.requests[batch.count++] = request;
      ++result.writes;
      result.bytes += request.source.size();
      merged.advance();
    }
    result.has_written = true;
    for (std::size_t i = 0; i < batch.count; ++i) {
      writes.spawn(write_one(loop, link, batch.requests[i], batch.answers[i]));
    }
    co_await writes.join();
    if (const Answer* failed = first_failure(batch)) {
      result.failure = failure_text(link, *failed, "a write that it had acknowledged before");
      co_return result;
    }
  }
  const Answer flushed = co_await link.shape.flush();
  result.is_done = !flushed.is_lost && flushed.status.is_ok();
  if (!result.is_done) result.failure = failure_text(link, flushed, "to flush");
  co_return result;
}

}  // namespace nbdring
