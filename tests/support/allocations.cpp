#include "tests/support/allocations.hpp"

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace nbdring {
namespace {

std::atomic<std::uint64_t> allocations{0};
thread_local bool is_counted = false;

void note_allocation() {
  if (is_counted) allocations.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace
}  // namespace nbdring

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NBDRING_SANITIZER_OWNS_MALLOC
#endif
#endif

#ifdef NBDRING_SANITIZER_OWNS_MALLOC

// The sanitizers' allocators call hooks instead of letting themselves be replaced.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*,
                                                                             std::size_t),
                                                         void (*free_hook)(const volatile void*));

namespace nbdring {
namespace {
void hook(const volatile void*, std::size_t) { note_allocation(); }
void free_hook(const volatile void*) {}
}  // namespace

void count_allocations_of_this_thread(bool counted) {
  static const int installed = __sanitizer_install_malloc_and_free_hooks(hook, free_hook);
  is_counted = counted && installed != 0;
}
}  // namespace nbdring

#else

// glibc lets a program bring its own malloc, and keeps its own under these names.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) {
  nbdring::note_allocation();
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  nbdring::note_allocation();
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) {
  nbdring::note_allocation();
  return __libc_realloc(memory, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  nbdring::note_allocation();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  *memory = memalign(alignment, size);
  return *memory != nullptr ? 0 : ENOMEM;
}
}

namespace nbdring {
void count_allocations_of_this_thread(bool counted) { is_counted = counted; }
}  // namespace nbdring

#endif

namespace nbdring {
std::uint64_t counted_allocations() { return allocations.load(std::memory_order_relaxed); }
}  // namespace nbdring
