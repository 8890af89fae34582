#pragma once
// A local file or block device.
//
// Buffered (cache=writeback): what is in the page cache is lent where the lane asks for that
// (client/engine/page_lender.hpp) or read by a direct call that cannot block, the rest by the ring.
// Writes go to the page cache by a direct call too, for a file without NOWAIT
// support would cost a worker thread's hop per write; when such a call turns out
// to have waited (dirty throttling), the lane hands its writes to the ring for a while. Direct
// (cache=none): O_DIRECT, always the ring.
//
// What a flush or FUA promises: fdatasync and RWF_DSYNC, which reach the disk through its own
// cache. TRIM punches a hole. WRITE_ZEROES punches a hole, or with NO_HOLE zeroes the range in
// place (FALLOC_FL_ZERO_RANGE); where the file system can do neither, zeros are written. The size
// is what the file has at open.
//
// The file is locked against a second writer (an open file description lock, as qemu's): many may
// read, or one may write. An engine that was killed keeps its lock, and its claim on a block
// device, until the last write in its ring is done: who has the lock has nothing to fear from it.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "backends/page_cache_view.hpp"
#include "client/engine/backend.hpp"
#include "client/protocol/backend_spec.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

class FileBackend final : public Backend {
 public:
  static constexpr std::chrono::milliseconds usual_lock_wait{2000};

  /// Opens, locks and measures the file. lock_wait: how long somebody else may hold its lock.
  /// Throws Failure: not there, no permission, locked by somebody, no O_DIRECT here.
  FileBackend(const FileSpec& spec, Log& log,
              std::chrono::milliseconds lock_wait = usual_lock_wait);

  const Export& about() const override { return about_; }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override;

 private:
  friend class FileLane;

  void open_file(std::chrono::milliseconds lock_wait, Log& log);
  void claim_device(int flags, std::chrono::milliseconds lock_wait, Log& log);
  void lock_file(std::chrono::milliseconds lock_wait, Log& log) const;
  void measure(Log& log);
  void probe_nowait();

  const FileSpec spec_;
  Export about_;
  FileDescriptor file_;
  bool is_block_device_ = false;
  bool reads_now_ = false;  // preadv2 with RWF_NOWAIT works, or nothing here ever blocks (tmpfs)
  int nowait_flag_ = 0;     // what such a read passes
  PageCacheView cached_;    // open: pages can be lent
  std::atomic<bool> can_punch_{true};  // until the file system says no
  std::atomic<bool> can_zero_{true};
};

}  // namespace nbdring
