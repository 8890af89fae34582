#pragma once
// The server's side of the fixed newstyle handshake, as pure steps over bytes ("Fixed newstyle
// negotiation").
//
// The front end sends greeting(), then receives at most wanted() bytes at a time, feeds them, sends
// the step's output, until a step ends the handshake. wanted() never reaches beyond the message
// that is being received, so what follows the last option belongs to the transmission phase and is
// still in the socket. Bytes may be fed in any pieces: the output is the same.
//
// A step with State::start_tls means: send its output, make the stream a TLS stream, then go on
// with tls_started(). What was agreed in clear is forgotten then. A byte that is there before TLS
// is up, and is none of TLS, was put there by somebody else: as wanted() is 0, nobody has read it.
//
// One export: its own name and the empty name lead to it. A client's mistake in an option is
// answered with an error reply; what cannot be answered, or is out of all proportion, ends the
// handshake with a reason for the log. A hostile client can make us hold one option
// (nbd::option_bytes_max) and send as much as the limits below allow.
//
// One owner, one thread. The export outlives it.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/protocol/export.hpp"
#include "client/protocol/nbd.hpp"
#include "client/protocol/request.hpp"
#include "client/protocol/tls_policy.hpp"

namespace nbdring {

struct HandshakeLimits {
  std::uint32_t options_max = 128;              // ordinary clients send fewer than ten
  std::uint32_t option_bytes_max = 256 * 1024;  // of all options together, headers included
};

class ServerHandshake {
 public:
  enum class State { more, start_tls, transmission, ended, failed };

  struct Step {
    std::size_t consumed = 0;       // bytes of the input; all of it while state is more
    std::vector<std::byte> output;  // to be sent, also before an end
    State state = State::more;
    std::string reason;  // one line for the log when failed
  };

  /// tls: off: STARTTLS is unsupported; allow: in clear or over TLS, as the client likes; require:
  /// before TLS nothing is told and nothing served.
  explicit ServerHandshake(const Export& about, const HandshakeLimits& limits = {},
                           TlsPolicy tls = TlsPolicy::off);

  /// What the server sends before it receives anything.
  std::vector<std::byte> greeting() const;

  /// How many bytes the next decision waits for; 0 while the state is not `more`.
  std::size_t wanted() const;

  Step feed(std::span<const std::byte> input);
  /// TLS is up: the next option may come.
  void tls_started();

  State state() const { return state_; }
  bool is_encrypted() const { return is_encrypted_; }
  const TransmissionOptions& transmission() const { return transmission_; }
  /// The name that the client asked for: empty or the export's.
  const std::string& chosen_name() const { return chosen_name_; }

 private:
  enum class Part { client_flags, option_header, option_data };

  void part_received(Step& step);
  void receive_client_flags(Step& step);
  void receive_option_header(Step& step);
  void expect(Part part, std::size_t bytes);

  void answer_option(Step& step);
  void refuse_in_clear(Step& step);
  void answer_starttls(Step& step);
  void answer_export_name(Step& step);
  void answer_list(Step& step);
  void answer_info_or_go(Step& step);
  void answer_structured_reply(Step& step);
  void answer_meta_context(Step& step);

  void reply(Step& step, std::uint32_t type, std::string_view text = {}) const;
  void end(Step& step, State state, std::string reason = {});
  bool leads_here(std::string_view name) const { return name.empty() || name == about_.name; }

  const Export& about_;
  HandshakeLimits limits_;
  TlsPolicy tls_;
  bool is_encrypted_ = false;
  State state_ = State::more;
  Part part_ = Part::client_flags;
  std::size_t part_bytes_ = 0;        // how long the part is that is being received
  std::vector<std::byte> part_data_;  // what of it has arrived
  std::uint32_t client_flags_ = 0;
  std::uint32_t option_ = 0;        // the option whose data is being received
  std::uint32_t options_ = 0;       // so far
  std::uint32_t option_bytes_ = 0;  // so far
  TransmissionOptions transmission_;
  std::string chosen_name_;
};

}  // namespace nbdring
