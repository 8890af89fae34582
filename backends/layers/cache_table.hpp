#pragma once
// Which block is in which slot of the cache's file, who uses it now, and which one goes next.
//
// A block has eight slots that it may be in. Among those, what was not used since the hand came by
// makes room (the clock). A slot that is read, fetched or written stays until it is left.
//
// A change takes the slots of its blocks before it goes below and leaves them after it has brought
// them up to date. What was being fetched beside a change, and what two changes had at once, may
// be neither old nor new: it is spoilt, and its slot free when the last has left it. A change that
// could not take a slot spoils, at its end, what has come there meanwhile.
//
// Any thread. One mutex, held for one block's look-up at a time.

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

namespace nbdring {

class CacheTable {
 public:
  using Slot = std::uint32_t;

  /// slots: a multiple of ways.
  explicit CacheTable(std::size_t slots);

  enum class Found { hit, fetch, pass };
  /// hit: read the slot, then leave_read(). fetch: fill the slot, then leave_fetch(). pass: the
  /// cache has nothing for you.
  Found look_up(std::uint64_t block, Slot& slot);
  void leave_read(Slot slot);
  void leave_fetch(Slot slot, bool done);

  /// A change is about to go below. None: there is nothing to bring up to date.
  std::optional<Slot> begin_change(std::uint64_t block);
  /// It ended below. True: the slot is this change's alone, and still to be brought up to date.
  bool may_update(Slot slot);
  void leave_change(Slot slot, bool done);
  /// Whatever is there of the block is old.
  void spoil(std::uint64_t block);

  static constexpr std::size_t ways = 8;

 private:
  static constexpr std::uint64_t nothing = ~std::uint64_t{0};
  struct Entry {
    std::uint64_t block = nothing;
    std::uint16_t readers = 0;
    std::uint16_t changes = 0;
    bool is_fetched = false;  // just now
    bool is_spoilt = false;
    bool was_used = false;  // since the hand came by
  };

  std::size_t first_slot(std::uint64_t block) const;
  Entry* find(std::uint64_t block);
  Entry* room_for(std::uint64_t block);
  void leave(Entry& entry);
  void spoil_locked(std::uint64_t block);
  Slot slot_of(const Entry& entry) const { return static_cast<Slot>(&entry - entries_.data()); }

  std::mutex mutex_;
  std::vector<Entry> entries_;
  std::vector<std::uint8_t> hands_;  // of each set of ways
};

}  // namespace nbdring
