#pragma once
// A remote server in this process that can lose its memory: what it stores lies in a volatile image
// and, once flushed, in a stable one. crash() is what `kill -9` and a power cut do; start() brings
// the server back with what was stable.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "backends/nbd/dial.hpp"
#include "backends/nbd/remote_options.hpp"
#include "client/engine/backend.hpp"
#include "client/engine/lane_thread.hpp"
#include "client/engine/stats.hpp"
#include "tests/support/gated_backend.hpp"

namespace nbdring {

/// What the server stores. Any thread.
class CrashableDisk final : public Backend {
 public:
  explicit CrashableDisk(const Export& about);

  const Export& about() const override { return about_; }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override;

  /// Nothing is stored, nothing answered well, until revive().
  void die();
  void revive();
  void set_about(const Export& about);
  void fail_flushes(int error) { flush_error_ = error; }
  std::uint64_t flushes() const { return flushes_; }
  std::vector<std::byte> stable(std::uint64_t offset, std::size_t length) const;
  std::vector<std::byte> contents(std::uint64_t offset, std::size_t length) const;

 private:
  friend class CrashableLane;

  Export about_;
  mutable std::mutex lock_;
  bool is_dead_ = false;
  std::atomic<int> flush_error_{0};
  std::atomic<std::uint64_t> flushes_{0};
  std::vector<std::byte> contents_;
  std::vector<std::byte> stable_;
};

class CrashableServer {
 public:
  static constexpr std::uint16_t everything =
      nbd::flag_has_flags | nbd::flag_send_flush | nbd::flag_send_fua | nbd::flag_send_trim |
      nbd::flag_send_write_zeroes | nbd::flag_can_multi_conn;

  explicit CrashableServer(std::uint64_t size, std::uint16_t flags = everything);
  ~CrashableServer();

  void crash();
  void start();
  /// The network breaks: connections end, the server lives on.
  void cut();
  /// Requests get no answer until false.
  void stall(bool stalls);
  void allow_connections(std::size_t most) { connections_max_ = most; }
  std::size_t connections();
  std::uint64_t dials() const { return dials_; }
  CrashableDisk& disk() { return disk_; }

  /// Throws Failure while the server is away.
  Dialled connect(Loop& loop);

 private:
  struct Client;

  CrashableDisk disk_;
  GatedBackend gated_{disk_};
  std::mutex lock_;
  bool is_up_ = true;
  bool is_stalled_ = false;
  std::size_t connections_max_ = 1000;
  std::atomic<std::uint64_t> dials_{0};
  std::list<std::unique_ptr<Client>> clients_;
};

/// Of a backend that loses patience within a test.
inline RemoteOptions quick_remote() {
  RemoteOptions options;
  options.backoff_first = std::chrono::milliseconds(5);
  options.backoff_max = std::chrono::milliseconds(20);
  options.fence_delay = std::chrono::milliseconds(100);
  options.end_deadline = std::chrono::milliseconds(200);
  options.endpoint = "the test's server";
  return options;
}

/// Where a backend under test gets its connections from.
class CrashableSource final : public ConnectionSource {
 public:
  explicit CrashableSource(CrashableServer& server, bool one_server = true)
      : server_(server), one_server_(one_server) {}
  Task<Dialled> dial(Loop& loop) const override { co_return server_.connect(loop); }
  bool reaches_one_server() const override { return one_server_; }

 private:
  CrashableServer& server_;
  bool one_server_;
};

}  // namespace nbdring
