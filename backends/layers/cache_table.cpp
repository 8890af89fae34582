#include "backends/layers/cache_table.hpp"

#include <limits>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr auto most_users = std::numeric_limits<std::uint16_t>::max();

}  // namespace

CacheTable::CacheTable(std::size_t slots) : entries_(slots), hands_(slots / ways) {
  ENSURE(slots > 0 && slots % ways == 0);
}

// Neighbours go to different sets, and a stride of any power of two does not meet in one.
std::size_t CacheTable::first_slot(std::uint64_t block) const {
  const std::uint64_t mixed = (block ^ (block >> 17) ^ (block >> 31)) % hands_.size();
  return mixed * ways;
}

/// What is there of the block and is not spoilt.
CacheTable::Entry* CacheTable::find(std::uint64_t block) {
  const std::size_t first = first_slot(block);
  for (std::size_t way = 0; way < ways; ++way) {
    Entry& entry = entries_[first + way];
    if (entry.block == block && !entry.is_spoilt) return &entry;
  }
  return nullptr;
}

CacheTable::Entry* CacheTable::room_for(std::uint64_t block) {
  const std::size_t first = first_slot(block);
  std::uint8_t& hand = hands_[first / ways];
  // Twice around: the first time may only find that all were used.
  for (std::size_t looked = 0; looked < 2 * ways; ++looked) {
    Entry& entry = entries_[first + hand];
    hand = static_cast<std::uint8_t>((hand + 1) % ways);
    if (entry.readers > 0 || entry.changes > 0 || entry.is_fetched) continue;
    if (entry.block == nothing || !entry.was_used) return &entry;
    entry.was_used = false;
  }
  return nullptr;
}

CacheTable::Found CacheTable::look_up(std::uint64_t block, Slot& slot) {
  const std::lock_guard guard(mutex_);
  Entry* entry = find(block);
  if (entry != nullptr) {
    if (entry->is_fetched || entry->readers == most_users) return Found::pass;
    ++entry->readers;
    entry->was_used = true;
    slot = slot_of(*entry);
    return Found::hit;
  }
  entry = room_for(block);
  if (entry == nullptr) return Found::pass;
  *entry = Entry();
  entry->block = block;
  entry->is_fetched = true;
  slot = slot_of(*entry);
  return Found::fetch;
}

void CacheTable::leave(Entry& entry) {
  if (!entry.is_spoilt || entry.readers > 0 || entry.changes > 0 || entry.is_fetched) return;
  entry = Entry();
}

void CacheTable::leave_read(Slot slot) {
  const std::lock_guard guard(mutex_);
  --entries_[slot].readers;
  leave(entries_[slot]);
}

void CacheTable::leave_fetch(Slot slot, bool done) {
  const std::lock_guard guard(mutex_);
  Entry& entry = entries_[slot];
  entry.is_fetched = false;
  entry.is_spoilt = entry.is_spoilt || !done;
  leave(entry);
}

std::optional<CacheTable::Slot> CacheTable::begin_change(std::uint64_t block) {
  const std::lock_guard guard(mutex_);
  Entry* const entry = find(block);
  if (entry == nullptr) return std::nullopt;
  if (entry->is_fetched || entry->changes > 0) {
    entry->is_spoilt = true;
    return std::nullopt;
  }
  ++entry->changes;
  return slot_of(*entry);
}

bool CacheTable::may_update(Slot slot) {
  const std::lock_guard guard(mutex_);
  return !entries_[slot].is_spoilt;
}

void CacheTable::leave_change(Slot slot, bool done) {
  const std::lock_guard guard(mutex_);
  Entry& entry = entries_[slot];
  const std::uint64_t block = entry.block;
  --entry.changes;
  entry.is_spoilt = entry.is_spoilt || !done;
  const bool was_spoilt = entry.is_spoilt;
  leave(entry);
  // Another slot may have been filled beside this change with what was there before it.
  if (was_spoilt) spoil_locked(block);
}

void CacheTable::spoil(std::uint64_t block) {
  const std::lock_guard guard(mutex_);
  spoil_locked(block);
}

void CacheTable::spoil_locked(std::uint64_t block) {
  Entry* const entry = find(block);
  if (entry == nullptr) return;
  entry->is_spoilt = true;
  leave(*entry);
}

}  // namespace nbdring
