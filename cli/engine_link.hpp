#pragma once
// The engine's side of its keeper (keeper.hpp): what it was given to start with, what it leaves in
// the keeper's hands, and what it tells it.
//
// A device without a keeper (the gateway's) has no link. Used by the front end's thread, but for
// find(), keep() and drop(). A keeper that has died is no failure of what the engine does: the link
// says so once, and the device is served on.

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cli/channel.hpp"
#include "cli/state.hpp"
#include "client/engine/keepsakes.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"
#include "kernel/deadline.hpp"

namespace nbdring {

/// What an engine is told of the one before it.
struct FormerEngine {
  DeviceRecord record;
  std::string cause;                    // "signal 9", "exit code 1", "it did not answer"
  Deadline::Clock::time_point ended{};  // the clock is the machine's: processes share it
  std::uint64_t restarts = 0;           // of the device's engines, this one included
  std::uint64_t stalls = 0;             // these, and upgrades
  bool is_alive = false;                // an upgrade: it hands its connections over
};

/// What holds of each engine of a keeper: keepsakes by name, see Keepsakes.
using KeptDescriptors = std::map<std::string, FileDescriptor>;

class EngineLink final : public Keepsakes {
 public:
  struct Start {
    FileDescriptor channel;
    int keeper = 0;        // its process
    KeptDescriptors kept;  // with the netlink socket
    std::optional<FormerEngine> former;
    std::string directory;       // where the command's relative paths begin
    bool in_background = false;  // the streams are the starter's until ready()
  };

  explicit EngineLink(Start start);

  // Names: those of the backend (Keepsakes), and two of our own.
  static constexpr const char* netlink_name = "netlink";
  static constexpr const char* lock_name = "lock";

  /// Any thread. What this engine has kept itself is found as well.
  std::optional<FileDescriptor> find(const std::string& name) override;
  void keep(const std::string& name, int fd) override;
  void drop(const std::string& name) noexcept override;

  /// The socket for the driver that stays open for the device's life; a descriptor of its own.
  FileDescriptor netlink();
  const std::optional<FormerEngine>& former() const { return former_; }
  int keeper() const { return keeper_; }  // process; 0: it has died

  /// The device is a new one: what a former one of the same keeper left is not meant for it.
  void start_afresh();
  /// The driver holds the device, and this record says whose it is: from now on the keeper starts
  /// another engine when this one dies.
  void attached(const DeviceRecord& record);
  /// Once, of the first engine: whoever waits for the device may go on. Prints the line on the
  /// starter's standard output. Failure when the starter has gone: nobody wants the engine.
  void ready(const std::string& line, const std::string& log_path);
  /// Its failure at the start, for the keeper to pass on.
  void failed(int exit_code, const std::string& text);
  /// The front end serves its loop from now on: it answers the keeper's pings.
  void serving();
  /// The device is at its end: no other engine is wanted.
  void over();
  /// For systemd, in its own words ("STOPPING=1"); nothing where it did not start us.
  void notify(const std::string& state);

  /// A word of which no more is expected.
  void send(const std::string& word) { channel_.send(word); }

  const std::string& directory() const { return directory_; }
  bool in_background() const { return in_background_; }

  /// Readable when the keeper has said something.
  int fd() const { return channel_.fd(); }
  /// Answers it. False, once: the keeper has died.
  bool attend();

  /// When it has died: another one takes its place, with all that this link has kept. False: there
  /// is none; the log says why.
  bool renew(const DeviceRecord& record, Log& log);

  /// Sends, and waits for the keeper's word that answers it; meanwhile pings are answered. Nothing
  /// at the deadline, or when the keeper dies.
  std::optional<ChannelMessage> ask(const std::string& word, const std::string& text,
                                    const std::vector<int>& descriptors,
                                    const std::vector<std::string>& answers, Deadline deadline);
  std::optional<ChannelMessage> wait_for(const std::vector<std::string>& answers,
                                         Deadline deadline);

 private:
  void answer(const ChannelMessage& message);

  Channel channel_;
  int keeper_;
  std::string directory_;
  std::mutex kept_lock_;
  KeptDescriptors kept_;
  std::optional<FormerEngine> former_;
  bool in_background_;
};

}  // namespace nbdring
