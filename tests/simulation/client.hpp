#pragma once
// One simulated client of a lane: sends a script's requests in seeded pieces, reads replies when it
// likes, holds each against what was planned, and ends the connection in one of the ways in which
// clients do.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "client/engine/lane.hpp"
#include "tests/simulation/oracle.hpp"
#include "tests/simulation/script.hpp"
#include "tests/support/client_side.hpp"
#include "tests/support/faulty_backend.hpp"
#include "tests/support/simulated_stream.hpp"

namespace nbdring {

/// What all clients of a simulation share.
struct Stage {
  Random& random;
  FaultyBackend& backend;
  Oracle& oracle;
  std::function<void(const std::string&)> trace;  // empty: nothing is traced
  std::uint64_t next_number = Oracle::initial_number + 1;
};

enum class Ending {
  disconnect,  // DISC, perhaps with bytes behind it
  close,       // end of the stream between two requests
  cut,         // end of the stream in the middle of a request
  garbage,     // something that is no request
  endless,     // a WRITE that is longer than anything a server would skip
  reset,       // gone at any moment
};

struct ClientPlan {
  TransmissionOptions transmission;
  LaneOptions lane;
  SimulatedStreamOptions stream;
  std::size_t requests = 0;
  std::size_t depth = 1;  // requests that may be outstanding
  unsigned invalid_percent = 0;
  unsigned reading_percent = 100;  // of the turns in which it looks for replies
  Ending ending = Ending::disconnect;
};

class SimulatedClient {
 public:
  SimulatedClient(Stage& stage, Loop& loop, std::size_t index, const ClientPlan& plan);

  const ClientPlan& plan() const { return plan_; }
  SimulatedStream& stream() { return stream_; }
  LaneStats& stats() { return stats_; }

  /// What happens at the client's end in one turn. Throws ProtocolViolation.
  void step();
  /// The lane's run() has ended: the promises that hold from then on.
  void lane_ended(const LaneEnd& end);
  /// Grows whenever something happens at the client's end.
  std::uint64_t progress() const { return progress_; }
  /// Nothing more will happen here.
  bool is_over() const { return lane_has_ended_ && stream_.unread() == 0; }
  /// The promises about the whole connection.
  void check_end();

 private:
  void send_one();
  void end_connection();
  void cut_a_request();
  std::size_t delivery();
  void read_replies();
  void take(const ClientReply& reply);
  void check_error(const PlannedRequest& planned, std::uint32_t error);
  void check_extents(const PlannedRequest& planned, const ClientReply& reply);
  void lose_outstanding();
  void trace(const std::string& text) const;

  Stage& stage_;
  std::size_t index_;
  ClientPlan plan_;
  SimulatedStream stream_;
  ClientSide side_;
  Script script_;
  LaneStats stats_;
  std::map<std::uint64_t, PlannedRequest> planned_;  // by cookie, until answered
  std::size_t to_send_;
  std::uint64_t progress_ = 0;
  bool has_ended_ = false;  // has sent its last byte
  bool lane_has_ended_ = false;
};

}  // namespace nbdring
