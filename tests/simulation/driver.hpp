#pragma once
// The kernel's driver, as far as a device's lanes can tell: it sends requests on several
// connections, answers none twice, and has a timer for each. On expiry the request's connection is
// shut down, and the request is sent again on another, with another cookie; a request whose
// connection died for another reason waits for its timer, too. (shared facts on the driver: at
// least once; the timer counts from the first byte, and does not fire while the request is sent.)

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/runtime/timer.hpp"
#include "tests/simulation/oracle.hpp"
#include "tests/simulation/script.hpp"
#include "tests/support/client_side.hpp"
#include "tests/support/faulty_backend.hpp"
#include "tests/support/simulated_stream.hpp"

namespace nbdring {

struct DriverPlan {
  std::size_t connections = 1;
  std::size_t depth = 1;  // requests outstanding, on all of them
  std::uint64_t requests = 0;
  Clock::duration timeout{0};
};

class SimulatedDriver {
 public:
  using Trace = std::function<void(const std::string&)>;

  SimulatedDriver(Random& random, FaultyBackend& backend, Oracle& oracle, const DriverPlan& plan,
                  Trace trace);

  /// What happens here in one turn. Throws ProtocolViolation.
  void step();

  /// A new connection where there is none, or none any more; the stream is the lane's end.
  SimulatedStream& connect(std::size_t index, Loop& loop);
  bool is_connected(std::size_t index) const { return connections_[index]->is_alive; }
  /// Shuts one down, for whatever reason.
  void shoot(std::size_t index);
  /// Sends DISC on every connection.
  void disconnect();

  /// Of the connection: no reply has begun that is not complete. After everything was taken.
  bool is_between_replies(std::size_t index) const;
  /// A request that was sent as a whole this long ago, on a connection that lives, has no reply.
  bool has_old_request(Clock::duration age) const;
  bool is_done() const { return to_send_ == 0 && requests_.empty(); }
  std::uint64_t progress() const { return progress_; }
  std::uint64_t sent_again() const { return sent_again_; }

 private:
  struct Connection {
    Connection(Loop& loop, Random& random, const SimulatedStreamOptions& options)
        : stream(loop, random, options), side(false) {}
    SimulatedStream stream;
    ClientSide side;
    bool is_alive = true;
    std::uint64_t sent = 0;      // bytes, with those that are still being sent
    std::uint64_t gone_out = 0;  // bytes
  };
  struct Outstanding {
    PlannedRequest planned;
    Connection* on = nullptr;  // null: waits for a connection
    std::uint64_t first_byte = 0;
    std::uint64_t end = 0;  // of its bytes on the connection
    bool has_begun = false;
    Clock::time_point began;
  };

  void send_new();
  void send(Outstanding& request);
  void send_bytes();
  void expire();
  void receive(Connection& connection);
  void take(Connection& connection, const ClientReply& reply);
  Connection* pick_connection();

  Random& random_;
  FaultyBackend& backend_;
  Oracle& oracle_;
  DriverPlan plan_;
  Trace trace_;
  TransmissionOptions transmission_;
  Script script_;
  std::vector<std::unique_ptr<Connection>> connections_;  // the present ones
  std::vector<std::unique_ptr<Connection>> former_;       // lanes may still use them
  std::list<Outstanding> requests_;
  std::uint64_t to_send_;
  std::uint64_t next_number_ = Oracle::initial_number + 1;
  std::uint64_t progress_ = 0;
  std::uint64_t sent_again_ = 0;
};

}  // namespace nbdring
