#include "client/runtime/frame_pool.hpp"

#include <new>

#include "client/runtime/error.hpp"

namespace nbdring {

FramePool::FramePool(std::size_t slab_bytes)
    : slab_(new std::byte[slab_bytes]), unused_(slab_.get()), end_(slab_.get() + slab_bytes) {
  // operator new[] aligns to 16 bytes, which the headers rely on.
  ENSURE(reinterpret_cast<std::uintptr_t>(unused_) % alignof(Header) == 0);
}

FramePool::~FramePool() { ENSURE(alive_ == 0); }

void* FramePool::allocate(std::size_t size) {
  const std::size_t size_class = (size + sizeof(Header) + granule - 1) / granule;
  const std::size_t bytes = size_class * granule;
  std::byte* memory = nullptr;
  bool from_slab = true;
  if (size_class <= classes && free_[size_class] != nullptr) {
    FreeFrame* frame = free_[size_class];
    free_[size_class] = frame->next;
    memory = reinterpret_cast<std::byte*>(frame);
  } else if (size_class <= classes && static_cast<std::size_t>(end_ - unused_) >= bytes) {
    memory = unused_;
    unused_ += bytes;
  } else {
    memory = static_cast<std::byte*>(::operator new(bytes));
    from_slab = false;
    ++fallbacks_;
  }
  ++alive_;
  auto* header = new (memory) Header{this, static_cast<std::uint32_t>(size_class), from_slab};
  return header + 1;
}

void FramePool::release(void* frame) noexcept {
  Header* header = static_cast<Header*>(frame) - 1;
  FramePool* pool = header->pool;
  ENSURE(pool->alive_ > 0);
  --pool->alive_;
  if (!header->from_slab) {
    ::operator delete(header);
    return;
  }
  const std::size_t size_class = header->size_class;
  pool->free_[size_class] = new (header) FreeFrame{pool->free_[size_class]};
}

}  // namespace nbdring
