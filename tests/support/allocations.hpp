#pragma once
// Counts what malloc and its relatives (operator new among them) hand out to the threads that asked
// to be counted. A thread on the data path must not allocate: the allocator could wait for the very
// pages that the thread is there to write out.

#include <cstdint>

namespace nbdring {

void count_allocations_of_this_thread(bool counted);

/// By all threads, while they were counted.
std::uint64_t counted_allocations();

}  // namespace nbdring
