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
// SET_META_CONTEXT with base:allocation, GO; for info INFO (and GO, where INFO tells no size)
// and ABORT, for list LIST, INFO of the first ones, ABORT. A server without GO gets EXPORT_NAME in
// the same session. Where TLS is required and not up, nothing but STARTTLS and ABORT is ever sent.
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
  /// Neither structured replies nor extended headers are asked for: whoever takes the connection
  /// over knows simple replies only.
  bool simple_replies = false;
};

struct ClientHandshakeLimits {
  std::uint32_t infos_max = 64;                 // INFO replies to one option
  std::uint32_t exports_max = 10'000;           // SERVER replies to LIST
  std::uint32_t asked_max = 256;                // of the listed exports, with INFO
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

  /// The export's name has at most nbd::string_bytes_max bytes.
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
  ClientHandshakeOptions::Goal goal() const { return options_.goal; }
  bool is_encrypted() const { return is_encrypted_; }
  /// What the next bytes must be, to say what the server owes: "its greeting", "the answer to GO".
  std::string awaited() const;

  // --- after transmission, or ended for info ---
  const Export& about() const { return about_; }
  /// With extended headers structured_replies is true too: a READ is answered in chunks.
  const TransmissionOptions& transmission() const { return transmission_; }
  std::uint32_t base_allocation_context() const { return context_id_; }

  // --- after ended ---
  /// What LIST gave, each with what INFO said of it where the server has INFO; for info the one
  /// export. Texts are as the server sent them.
  struct Listed {
    std::string name;
    std::string description;
    bool is_known = false;          // about is filled
    bool tells_block_size = false;  // about.block_size is the server's, not the default
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
  enum class Part { greeting, reply_header, reply_data, export_name_reply };
  using Bytes = std::vector<std::byte>;

  // handshake_client.cpp: messages
  void expect(Part part, std::size_t bytes);
  void part_received(Step& step);
  void receive_greeting(Step& step);
  void receive_reply_header();
  void receive_export_name_reply(Step& step);
  void send_option(Step& step, std::uint32_t option, const Bytes& data = {});
  bool may_speak() const { return options_.tls != TlsPolicy::require || is_encrypted_; }
  void broken(const std::string& rule);
  void fail(FailureKind kind, const std::string& reason);
  void leave(Step& step, FailureKind kind, const std::string& reason);

  // handshake_client_options.cpp: which option when, and what its replies mean
  void begin_options(Step& step);
  void ask_for_headers(Step& step);
  void receive_reply(Step& step);
  void acknowledged(Step& step);
  void refused(Step& step);
  void refused_everywhere(Step& step);
  void starttls_refused(Step& step);
  void structured_settled(Step& step);
  void ask_for_own_export(Step& step);
  void ask_for_export(Step& step, const std::string& name, std::uint32_t option);
  void ask_by_name(Step& step);
  void export_refused(Step& step);
  void ask_next_listed(Step& step);
  void say_goodbye(Step& step);
  void disconnect(Step& step);
  std::string server_said() const;

  // handshake_client_export.cpp: what a server tells of its exports
  void receive_listed();
  void receive_context();
  void receive_info();
  void receive_block_size();
  void export_told(Step& step);
  void listed_export_told(Step& step);
  const char* settle(Export& about) const;

  ClientHandshakeOptions options_;
  ClientHandshakeLimits limits_;
  State state_ = State::more;
  Part part_ = Part::greeting;
  std::size_t part_bytes_ = 0;  // how long the part is that is being received
  Bytes part_data_;             // what of it has arrived
  std::uint64_t total_bytes_ = 0;

  bool is_fixed_ = false;    // newstyle, as the greeting said
  bool pads_zeroes_ = true;  // behind the answer to EXPORT_NAME
  bool is_encrypted_ = false;
  bool was_answered_ = false;  // since TLS came up
  bool tls_was_refused_ = false;
  std::uint32_t option_ = 0;      // under way; 0: none yet
  std::uint32_t reply_type_ = 0;  // of the reply whose data is being received
  std::uint32_t replies_ = 0;     // to this option, besides its ACK

  Export told_;  // by the INFO replies so far
  bool size_told_ = false;
  bool block_size_told_ = false;
  bool context_told_ = false;
  std::size_t asking_ = 0;  // which listed export

  Export about_;
  TransmissionOptions transmission_;
  std::uint32_t context_id_ = 0;
  std::vector<Listed> exports_;
  FailureKind failure_kind_ = FailureKind::unreachable;
  std::string reason_;
};

}  // namespace nbdring
