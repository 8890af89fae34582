#pragma once
// A remote export as a backend: nbd:// and its kin, exec:.
//
//   lane's thread          lane's thread           the keeper's thread
//   NbdLane -- Connection  NbdLane -- Connection   Keeper: first connection, recovery, replay
//        \____________________|____________________/
//                          Remote: who is connected, what is acknowledged, what is durable
//
// A device does not fail because its server is away for a while: requests wait, what was
// acknowledged and not flushed is written again, and nothing is said to be safe that is not.
// remote.hpp tells how, and why it is right.

#include <future>
#include <memory>
#include <thread>

#include "backends/nbd/dial.hpp"
#include "backends/nbd/keeper.hpp"
#include "backends/nbd/remote.hpp"
#include "backends/nbd/remote_log.hpp"
#include "backends/nbd/remote_options.hpp"
#include "client/engine/backend.hpp"

namespace nbdring {

class NbdBackend final : public Backend {
 public:
  /// Connects. Throws the Failure of the first connection: there is no second attempt.
  NbdBackend(std::unique_ptr<ConnectionSource> source, const RemoteOptions& options, Log& log);
  /// Every lane has been closed and destroyed. Waits for no server.
  ~NbdBackend() override;

  const Export& about() const override { return about_; }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override;
  void abandon() noexcept override { remote_.abandon(); }
  BackendHealth health() const override;

 private:
  void keep(std::promise<void> started);

  std::unique_ptr<ConnectionSource> source_;
  const RemoteOptions options_;
  RemoteLog log_;
  Remote remote_;
  Export about_;
  std::unique_ptr<Loop> loop_;      // of the keeper; made and destroyed by its thread
  std::unique_ptr<Keeper> keeper_;  // the same
  std::promise<void> may_end_;      // nobody will call the keeper any more
  std::thread thread_;              // last: it uses all of the above
};

}  // namespace nbdring
