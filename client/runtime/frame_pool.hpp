#pragma once
// Memory for coroutine frames, so that calling a Task on the data path does not call malloc.
//
// One pool belongs to one loop and is used by its thread only. Frames are cut from a slab that
// exists from the start; a frame that ends goes to the free list of its size and is the next one
// given out. When the slab is used up the pool falls back to operator new and counts it: a test
// holds that count at zero while requests flow.

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace nbdring {

class FramePool {
 public:
  /// slab_bytes: how much frame memory exists before the first task runs.
  explicit FramePool(std::size_t slab_bytes);
  ~FramePool();
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  void* allocate(std::size_t size);
  /// Gives a frame back to the pool that it came from.
  static void release(void* frame) noexcept;

  /// How many frames did not fit into the slab since the start.
  std::uint64_t fallbacks() const { return fallbacks_; }

 private:
  static constexpr std::size_t granule = 64;  // bytes; frames are rounded up to it
  static constexpr std::size_t classes = 64;  // frames of up to 4 KiB are pooled

  // Stands before each frame; 16 bytes keep the frame aligned as operator new would.
  struct alignas(16) Header {
    FramePool* pool;
    std::uint32_t size_class;  // in granules, header included
    bool from_slab;
  };
  struct FreeFrame {
    FreeFrame* next;
  };
  static_assert(sizeof(Header) == 16);

  std::unique_ptr<std::byte[]> slab_;
  std::byte* unused_;
  std::byte* end_;
  std::array<FreeFrame*, classes + 1> free_{};
  std::uint64_t fallbacks_ = 0;
  std::uint64_t alive_ = 0;
};

/// What a coroutine needs among its arguments (or as *this): something that knows the pool of its
/// thread.
template <typename T>
concept HasFrames = requires(T& t) {
  { t.frames() } -> std::same_as<FramePool&>;
};

}  // namespace nbdring
