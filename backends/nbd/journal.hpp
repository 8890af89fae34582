#pragma once
// What a server has acknowledged and not yet been seen to have on stable storage: the changes of
// one connection (WRITE, TRIM, WRITE_ZEROES), in the order of their acknowledgements, with the
// bytes.
//
// A server that crashes forgets them, and NBD has no way to notice (NFSv3's write verifier has no
// counterpart): so whoever connects again after a loss writes them a second time. An entry is
// dropped when a FLUSH that was sent after its acknowledgement has succeeded.
//
// A ring of bytes of a fixed size, mapped twice in a row, so that an entry that crosses the end is
// contiguous all the same. Room is reserved before the request is sent: an acknowledgement that
// cannot be recorded must not happen. When nothing is in the ring it begins again at its first
// byte, so a device that flushes often touches little of it.
//
// It lies in a file that may outlive the process (journal_file.hpp). Where the entries begin and
// end stands there in one word, which is stored behind what it stands for: whoever finds the file
// after a kill -9 finds every entry that was acknowledged, whole, and none that was dropped.
//
// One thread at a time: the lane's while its connection serves, the keeper's while it is
// suspended. The counters may be read by any thread.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "backends/kept_memory.hpp"
#include "client/engine/backend_request.hpp"
#include "client/engine/stats.hpp"

namespace nbdring {

class Journal {
 public:
  struct Entry {
    std::uint64_t sequence = 0;  // of the acknowledgement, over all members of a device
    BackendRequest request;      // FUA is not kept: what follows a replay is a FLUSH
  };

  /// A page at `place` in the file, and capacity bytes behind it, whole pages: zeros, or what a
  /// former journal left. Throws Failure where it cannot be mapped, or is damaged.
  Journal(int file, std::uint64_t place, std::size_t capacity);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// Room that a change takes in the ring.
  static std::size_t bytes_for(const BackendRequest& request);

  std::size_t capacity() const { return capacity_; }
  /// False while there is no room.
  bool reserve(std::size_t bytes) noexcept;
  /// The request was refused, or lost, or needs no entry.
  void unreserve(std::size_t bytes) noexcept;
  /// Takes bytes_for(request) of what is reserved. Sequences only grow.
  void append(std::uint64_t sequence, const BackendRequest& request) noexcept;
  /// Drops the entries whose sequence is at most this.
  void prune(std::uint64_t durable) noexcept;

  /// A change is sent; until its way has ended nobody knows whether the server carries it out. Ends
  /// as late as its owner goes.
  class Way {
   public:
    /// journal: null where none is kept.
    explicit Way(Journal* journal) : journal_(journal) {}
    Way(const Way&) = delete;
    Way& operator=(const Way&) = delete;
    ~Way() {
      if (has_begun_) journal_->add_to_way(-1);
    }
    void begin() noexcept {
      if (has_begun_ || journal_ == nullptr) return;
      has_begun_ = true;
      journal_->add_to_way(1);
    }

   private:
    Journal* journal_;
    bool has_begun_ = false;
  };
  /// Whether a former engine had changes on their way. Once: they are forgotten.
  bool take_lost_changes() noexcept { return place_->on_their_way.exchange(0) != 0; }

  bool empty() const { return head_ == tail_; }
  bool is_half_full() const { return tail_ - head_ + reserved_ > capacity_ / 2; }

  std::uint64_t entries() const { return entries_.get(); }
  std::uint64_t payload_bytes() const { return payload_bytes_.get(); }

  /// Walks the entries, oldest first. Valid while nothing is appended or pruned.
  class Cursor {
   public:
    explicit Cursor(const Journal& journal) : journal_(&journal), position_(journal.head_) {}
    bool at_end() const { return position_ == journal_->tail_; }
    Entry entry() const;
    void advance();

   private:
    const Journal* journal_;
    std::uint64_t position_;
  };

 private:
  struct Header;
  struct Place {
    std::atomic<std::uint64_t> used;  // where the ring's entries begin << 32 | their bytes
    std::atomic<std::int64_t> on_their_way;
  };

  void load();
  void publish() noexcept;
  void add_to_way(std::int64_t changes) noexcept {
    place_->on_their_way.store(place_->on_their_way.load(std::memory_order_relaxed) + changes,
                               std::memory_order_relaxed);
  }
  std::byte* at(std::uint64_t position) const { return memory_ + position % capacity_; }
  const Header& header_at(std::uint64_t position) const;

  Mapping page_;
  Place* place_;  // in that page
  std::size_t capacity_;
  std::byte* memory_ = nullptr;  // capacity_ bytes, and the same once more
  std::uint64_t head_ = 0;       // the oldest entry; positions grow for ever
  std::uint64_t tail_ = 0;       // behind the newest
  std::size_t reserved_ = 0;
  Counter entries_;
  Counter payload_bytes_;
};

}  // namespace nbdring
