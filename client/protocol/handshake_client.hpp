#pragma once
// The client's side of the fixed newstyle handshake, as pure steps over bytes ("Fixed newstyle
// negotiation"). The counterpart of handshake_server.hpp: the same feeding, wanted() and Step.
//
// The owner receives at most wanted() bytes at a time, feeds them and sends the step's output,
// until a step ends the handshake. A step with State::start_tls means: the server agreed, nothing
// of ours is unsent, nothing of the server's has been read ahead; the owner makes the stream a TLS
// stream and goes on with tls_started(). Everything learnt before is forgotten then.
//
// The order of options: STARTTLS (policy allow or require), EXTENDED_HEADERS or STRUCTURED_REPLY,
// SET_META_CONTEXT with base:allocation, GO; for info INFO and ABORT, for list LIST, INFO of each,
// ABORT. A server without GO gets EXPORT_NAME in the same session, but never where TLS is required
// and not up.
//
// A server's every length, count and order is checked; what is out of the rules ends the handshake
// with a reason. A hostile server can make us hold one option reply (64 KiB) and send as much as
// the limits below allow.
//
// One owner, one thread.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "client/protocol/export.hpp"
#include "client/protocol/request.hpp"
#include "client/protocol/tls_policy.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

struct ClientHandshakeOptions {
  enum class Goal { go, info, list };

  Goal goal = Goal::go;
  std::string export_name;
  TlsPolicy tls = TlsPolicy::off;
};

struct ClientHandshakeLimits {
  std::uint32_t infos_max = 64;                 // INFO replies to one option
  std::uint32_t exports_max = 10'000;           // SERVER replies to LIST
  std::uint32_t contexts_max = 16;              // META_CONTEXT replies
  std::uint32_t reply_bytes_max = 64 * 1024;    // data of one option reply
  std::uint32_t total_bytes_max = 1024 * 1024;  // everything that the server may send
};

class ClientHandshake {
 public:
  enum class State { more, start_tls, transmission, ended, failed };

  struct Step {
    std::size_t consumed = 0;       // bytes of the input; all of it while state is more
    std::vector<std::byte> output;  // to be sent, also before an end
    State state = State::more;
  };

  explicit ClientHandshake(const ClientHandshakeOptions& options,
                           const ClientHandshakeLimits& limits = {});

  /// How many bytes the next decision waits for; 0 while the state is not `more`.
  std::size_t wanted() const;
  Step feed(std::span<const std::byte> input);
  /// TLS is up: what to send now.
  Step tls_started();
  /// The server closed the connection, or it was lost: the state is failed after it, and the reason
  /// says during what.
  void stream_ended();

  State state() const { return state_; }

  // --- after transmission, or ended for info ---
  const Export& about() const { return about_; }
  const TransmissionOptions& transmission() const { return transmission_; }
  std::uint32_t base_allocation_context() const { return context_id_; }

  // --- after ended ---
  /// What LIST gave, each with what INFO said of it where the server has INFO.
  struct Listed {
    std::string name;
    std::string description;
    bool is_known = false;  // about is filled
    Export about;
  };
  const std::vector<Listed>& exports() const { return exports_; }

  // --- after failed ---
  /// refused: TLS or the server's policy; unreachable: everything else; not_found: no such export.
  FailureKind failure_kind() const { return failure_kind_; }
  /// One clause for the user: what the server did, and where it helps what to do. What it quotes of
  /// the server is shortened and made printable.
  const std::string& reason() const { return reason_; }

 private:
  ClientHandshakeOptions options_;
  ClientHandshakeLimits limits_;
  State state_ = State::more;
  Export about_;
  TransmissionOptions transmission_;
  std::uint32_t context_id_ = 0;
  std::vector<Listed> exports_;
  FailureKind failure_kind_ = FailureKind::unreachable;
  std::string reason_;
};

}  // namespace nbdring
