#pragma once
// What a websocket client shows, for all connections of one endpoint: its token, and the session
// that the server has let it into with it.
//
// A token may be good for one use. So one connection at a time is shown in with it, and no other
// reads the file before the successor is in it. Any thread; waits on the caller's loop.

#include <mutex>
#include <string>

#include "client/runtime/loop.hpp"
#include "client/runtime/offload.hpp"
#include "client/runtime/task.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

class ClientCredential {
 public:
  /// Reads the file once, for errors that can be told at the start. Throws Failure (usage,
  /// refused).
  explicit ClientCredential(std::string token_file);

  /// The live session's key, or empty.
  std::string session() const;
  /// The server does not know it any more.
  void forget(const std::string& session);

  /// The turn to use the token; ends with this.
  class Turn {
   public:
    explicit Turn(ClientCredential& credential) : credential_(&credential) {}
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    ClientCredential* credential_;
  };
  /// False: somebody else has it until the deadline. True: a Turn is to be made before anything
  /// else is awaited.
  Task<bool> wait_turn(Loop& loop, Clock::time_point deadline);

  /// The token as it is in the file now. With the turn. Throws Failure.
  Task<std::string> token(Loop& loop, Clock::time_point deadline);

  /// With the turn. Returns when the successor (empty: there is none) is on the disk. Throws
  /// Failure.
  Task<void> keep(Loop& loop, const std::string& next_token, const std::string& session,
                  Clock::time_point deadline);

 private:
  bool try_take();

  const std::string path_;
  mutable std::mutex mutex_;
  bool is_taken_ = false;
  std::string session_;
  Offload offload_;
};

}  // namespace nbdring
