#include "client/protocol/handshake_client.hpp"

#include <algorithm>
#include <utility>

#include "client/protocol/handshake_fields.hpp"
#include "client/protocol/handshake_names.hpp"
#include "client/protocol/handshake_text.hpp"

namespace nbdring {

ClientHandshake::ClientHandshake(const ClientHandshakeOptions& options,
                                 const ClientHandshakeLimits& limits)
    : options_(options), limits_(limits) {
  ENSURE(options_.export_name.size() <= nbd::string_bytes_max);
  expect(Part::greeting, sizeof(nbd::Greeting));
}

std::size_t ClientHandshake::wanted() const {
  return state_ == State::more ? part_bytes_ - part_data_.size() : 0;
}

ClientHandshake::Step ClientHandshake::feed(std::span<const std::byte> input) {
  ENSURE(state_ == State::more);
  Step step;
  while (state_ == State::more && step.consumed < input.size()) {
    const auto bytes =
        input.subspan(step.consumed, std::min(wanted(), input.size() - step.consumed));
    part_data_.insert(part_data_.end(), bytes.begin(), bytes.end());
    step.consumed += bytes.size();
    total_bytes_ += bytes.size();
    // A reply without data is complete with its header: no byte of its own will come to say so.
    while (state_ == State::more && wanted() == 0) part_received(step);
  }
  step.state = state_;
  ENSURE(state_ != State::more || step.consumed == input.size());
  return step;
}

ClientHandshake::Step ClientHandshake::tls_started() {
  ENSURE(state_ == State::start_tls);
  // Somebody between the two may have sent what came before this.
  about_ = {};
  transmission_ = {};
  context_id_ = 0;
  context_told_ = false;
  exports_.clear();
  was_answered_ = false;
  is_encrypted_ = true;
  state_ = State::more;
  Step step;
  begin_options(step);
  step.state = state_;
  return step;
}

void ClientHandshake::stream_ended() {
  ENSURE(state_ == State::more);
  const bool had_begun = part_ != Part::greeting || !part_data_.empty();
  if (!had_begun) {
    return fail(FailureKind::unreachable, "the server closed the connection without a greeting");
  }
  if (option_ == nbd::opt_export_name && part_data_.empty()) {
    // The one way in which it can refuse this option.
    return fail(FailureKind::not_found,
                "the server closed the connection: it has no export named '" +
                    printable(options_.export_name) + "'");
  }
  if (is_encrypted_ && !was_answered_ && part_data_.empty()) {
    // With TLS 1.3 a client is done before the server has looked at its certificate.
    return fail(
        FailureKind::refused,
        "the server closed the connection right after the TLS handshake: it does not accept "
        "our certificate or key (or demands one)");
  }
  fail(FailureKind::unreachable, "the server closed the connection, " + awaited() + " was to come");
}

std::string ClientHandshake::awaited() const {
  if (part_ == Part::greeting) return "its greeting";
  if (state_ == State::start_tls) return "the TLS handshake";
  return "the answer to " + option_name(option_);
}

void ClientHandshake::expect(Part part, std::size_t bytes) {
  part_ = part;
  part_bytes_ = bytes;
  part_data_.clear();
}

void ClientHandshake::part_received(Step& step) {
  ENSURE(part_data_.size() == part_bytes_);
  switch (part_) {
    case Part::greeting:
      return receive_greeting(step);
    case Part::reply_header:
      return receive_reply_header();
    case Part::reply_data:
      // What comes after it is another reply, unless an option that is sent now says otherwise.
      receive_reply(step);
      if (part_ == Part::reply_data) expect(Part::reply_header, sizeof(nbd::OptionReplyHeader));
      return;
    case Part::export_name_reply:
      return receive_export_name_reply(step);
  }
}

void ClientHandshake::receive_greeting(Step& step) {
  const auto greeting = read_struct<nbd::Greeting>(part_data_);
  if (greeting.init_passwd != nbd::init_passwd) {
    return fail(FailureKind::unreachable,
                "what answers is no NBD server: it begins with '" +
                    printable(text_of(std::span(part_data_).first(sizeof(Be64)))) + "'");
  }
  if (greeting.ihaveopt == nbd::cliserv_magic_oldstyle) {
    return fail(
        options_.tls == TlsPolicy::require ? FailureKind::refused : FailureKind::unreachable,
        "the server speaks the oldstyle handshake, which has neither exports nor TLS");
  }
  if (greeting.ihaveopt != nbd::ihaveopt) return broken("its greeting lacks IHAVEOPT");
  is_fixed_ = (greeting.handshake_flags & nbd::flag_fixed_newstyle) != 0;
  pads_zeroes_ = (greeting.handshake_flags & nbd::flag_no_zeroes) == 0;
  if (!is_fixed_ && options_.tls == TlsPolicy::require) {
    return fail(FailureKind::refused,
                "the server has no fixed newstyle handshake, so no TLS, which is required");
  }
  const std::uint32_t flags =
      (is_fixed_ ? nbd::flag_c_fixed_newstyle : 0) | (pads_zeroes_ ? 0 : nbd::flag_c_no_zeroes);
  append_struct(step.output, Be32(flags));
  begin_options(step);
}

void ClientHandshake::receive_reply_header() {
  const auto header = read_struct<nbd::OptionReplyHeader>(part_data_);
  if (header.magic != nbd::option_reply_magic) {
    return broken("an option reply begins with a wrong magic");
  }
  if (header.option != option_) {
    return broken("it answers option " + std::to_string(header.option) + " instead of " +
                  option_name(option_));
  }
  reply_type_ = header.type;
  const std::uint32_t length = header.length;
  if (length > limits_.reply_bytes_max) {
    return broken("its answer to " + option_name(option_) + " carries " + std::to_string(length) +
                  " bytes, more than " + std::to_string(limits_.reply_bytes_max));
  }
  if (total_bytes_ + length > limits_.total_bytes_max) {
    return broken("its handshake has no end: more than " + std::to_string(limits_.total_bytes_max) +
                  " bytes");
  }
  was_answered_ = true;
  expect(Part::reply_data, length);
}

void ClientHandshake::send_option(Step& step, std::uint32_t option, const Bytes& data) {
  ENSURE(may_speak() || option == nbd::opt_starttls || option == nbd::opt_abort);
  append_struct(step.output,
                nbd::OptionHeader{nbd::ihaveopt, option, static_cast<std::uint32_t>(data.size())});
  step.output.insert(step.output.end(), data.begin(), data.end());
  option_ = option;
  replies_ = 0;
  expect(Part::reply_header, sizeof(nbd::OptionReplyHeader));
}

void ClientHandshake::broken(const std::string& rule) {
  fail(FailureKind::unreachable, "the server breaks the protocol: " + rule);
}

void ClientHandshake::fail(FailureKind kind, const std::string& reason) {
  ENSURE(state_ == State::more);
  state_ = State::failed;
  failure_kind_ = kind;
  reason_ = reason;
}

void ClientHandshake::leave(Step& step, FailureKind kind, const std::string& reason) {
  send_option(step, nbd::opt_abort);
  fail(kind, reason);
}

}  // namespace nbdring
