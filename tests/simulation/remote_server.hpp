#pragma once
// A simulated NBD server, incarnation after incarnation: what it stores is volatile until a FLUSH
// (or FUA) makes it stable; a crash loses the difference. It executes requests in any order and
// answers later in any order; it can stall; its network can break so that what it got before is
// executed late.

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/nbd/dial.hpp"
#include "client/protocol/nbd.hpp"
#include "tests/simulation/remote_pipe.hpp"

namespace nbdring {

class RemoteServer {
 public:
  /// How late what was sent before a cut may arrive. Shorter than the fence's delay.
  static constexpr std::chrono::milliseconds latest_ghost{3'000};

  RemoteServer(Loop& loop, Random& random, const Export& about);

  const Export& about() const { return about_; }
  /// Throws Failure while it is away.
  Task<Dialled> accept();

  /// What happens here in one turn of the loop.
  void step();
  void crash();
  void restart() { is_up_ = true; }
  void stall(bool stalls);
  /// Nobody gets through, in either direction, until false.
  void set_unreachable(bool unreachable);
  /// Breaks one connection, or all; some of them without a sign.
  void cut_one();
  void cut_all();

  bool is_up() const { return is_up_; }
  bool is_unreachable() const { return is_unreachable_; }
  bool is_stalled() const { return is_stalled_; }
  std::uint64_t executed() const { return executed_; }
  std::uint64_t ghosts() const { return ghosts_; }
  void fill(std::span<const std::byte> bytes);
  std::span<const std::byte> stable() const { return stable_; }

  FramePool& frames() { return loop_.frames(); }

 private:
  struct Asked {
    nbd::RequestHeader header;
    std::vector<std::byte> payload;
  };
  struct Session {
    std::shared_ptr<RemotePipe> pipe = std::make_shared<RemotePipe>();
    std::vector<Asked> asked;                     // to be executed
    std::vector<std::vector<std::byte>> answers;  // to be sent
    bool has_ended = false;                       // DISC
  };

  void cut(RemotePipe& pipe);
  void tell_unaware();
  void finish_ghosts(Session& session);
  void read(Session& session);
  bool read_one(Session& session);
  void work(Session& session);
  void execute(Session& session, std::size_t index);
  bool is_over(Session& session) const;

  Loop& loop_;
  Random& random_;
  Export about_;
  std::vector<std::byte> volatile_;
  std::vector<std::byte> stable_;
  std::list<Session> sessions_;
  std::vector<std::shared_ptr<RemotePipe>> unaware_;  // of clients that do not know of a crash yet
  bool is_up_ = true;
  bool is_stalled_ = false;
  bool is_unreachable_ = false;
  std::uint64_t executed_ = 0;
  std::uint64_t ghosts_ = 0;  // executed after the client had given their connection up
};

class RemoteServerSource final : public ConnectionSource {
 public:
  explicit RemoteServerSource(RemoteServer& server) : server_(server) {}
  Task<Dialled> dial(Loop&) const override { return server_.accept(); }
  bool reaches_one_server() const override { return true; }

 private:
  RemoteServer& server_;
};

}  // namespace nbdring
