// Which option is sent when, and what its ACK or its refusal leads to.

#include <array>

#include "client/protocol/handshake_client.hpp"
#include "client/protocol/handshake_fields.hpp"
#include "client/protocol/handshake_names.hpp"
#include "client/protocol/handshake_text.hpp"

namespace nbdring {
namespace {

void append_counted(std::vector<std::byte>& bytes, std::string_view text) {
  append_struct(bytes, Be32(static_cast<std::uint32_t>(text.size())));
  append_text(bytes, text);
}

std::vector<std::byte> context_query(std::string_view name) {
  std::vector<std::byte> bytes;
  append_counted(bytes, name);
  append_struct(bytes, Be32(1));
  append_counted(bytes, nbd::base_allocation);
  return bytes;
}

// Who asks for block sizes has to obey them, and gets a server's true limits.
std::vector<std::byte> export_query(std::string_view name) {
  constexpr std::array types{nbd::info_export, nbd::info_name, nbd::info_description,
                             nbd::info_block_size};
  std::vector<std::byte> bytes;
  append_counted(bytes, name);
  append_struct(bytes, Be16(static_cast<std::uint16_t>(types.size())));
  for (const std::uint16_t type : types) append_struct(bytes, Be16(type));
  return bytes;
}

}  // namespace

void ClientHandshake::begin_options(Step& step) {
  if (!is_fixed_) {  // it knows no option but EXPORT_NAME, and cannot answer that there are others
    if (options_.goal != ClientHandshakeOptions::Goal::list) return ask_by_name(step);
    return fail(FailureKind::unreachable,
                "the server has no fixed newstyle handshake, so it cannot list its exports");
  }
  const bool wants_tls = options_.tls != TlsPolicy::off && !is_encrypted_;
  if (wants_tls) return send_option(step, nbd::opt_starttls);
  ask_for_headers(step);
}

void ClientHandshake::ask_for_headers(Step& step) {
  if (options_.simple_replies) return structured_settled(step);
  send_option(step, nbd::opt_extended_headers);
}

void ClientHandshake::receive_reply(Step& step) {
  if ((reply_type_ & nbd::rep_error_bit) != 0) return refused(step);
  if (reply_type_ == nbd::rep_ack) {
    if (part_data_.empty()) return acknowledged(step);
    return broken("its ACK to " + option_name(option_) + " carries data");
  }
  ++replies_;
  const bool is_about_export = option_ == nbd::opt_info || option_ == nbd::opt_go;
  if (reply_type_ == nbd::rep_server && option_ == nbd::opt_list) return receive_listed();
  if (reply_type_ == nbd::rep_info && is_about_export) return receive_info();
  if (reply_type_ == nbd::rep_meta_context && option_ == nbd::opt_set_meta_context) {
    return receive_context();
  }
  broken("it answers " + option_name(option_) + " with reply type " + std::to_string(reply_type_));
}

void ClientHandshake::acknowledged(Step& step) {
  switch (option_) {
    case nbd::opt_starttls:
      state_ = State::start_tls;
      return;
    case nbd::opt_extended_headers:
      transmission_.extended_headers = true;
      transmission_.structured_replies = true;
      return structured_settled(step);
    case nbd::opt_structured_reply:
      transmission_.structured_replies = true;
      return structured_settled(step);
    case nbd::opt_set_meta_context:
      transmission_.base_allocation = context_told_;
      return ask_for_own_export(step);
    case nbd::opt_list:
      return ask_next_listed(step);
    case nbd::opt_info:
    case nbd::opt_go:
      return export_told(step);
    default:
      ENSURE(!"an option of ours");
  }
}

void ClientHandshake::refused(Step& step) {
  const bool ends_everything =
      reply_type_ == nbd::rep_err_shutdown || reply_type_ == nbd::rep_err_tls_reqd;
  if (ends_everything && option_ != nbd::opt_starttls) return refused_everywhere(step);
  switch (option_) {
    case nbd::opt_starttls:
      return starttls_refused(step);
    case nbd::opt_extended_headers:
      return send_option(step, nbd::opt_structured_reply);
    case nbd::opt_structured_reply:
      return structured_settled(step);
    case nbd::opt_set_meta_context:
      // If it is the export that it does not know, it will say so once more.
      return ask_for_own_export(step);
    case nbd::opt_list:
      return leave(
          step,
          reply_type_ == nbd::rep_err_policy ? FailureKind::refused : FailureKind::unreachable,
          "the server does not list its exports " + server_said());
    case nbd::opt_info:
    case nbd::opt_go:
      return export_refused(step);
    default:
      ENSURE(!"an option of ours");
  }
}

void ClientHandshake::refused_everywhere(Step& step) {
  if (reply_type_ == nbd::rep_err_shutdown) {
    return leave(step, FailureKind::unreachable, "the server is shutting down " + server_said());
  }
  if (is_encrypted_) return broken("it demands TLS, which is up");
  if (tls_was_refused_) {
    return leave(step, FailureKind::refused, "the server demands TLS, but refuses to start it");
  }
  leave(
      step, FailureKind::refused,
      "the server demands TLS: write nbds:// (nbds+unix://, nbds+vsock://), or say --tls=require");
}

void ClientHandshake::starttls_refused(Step& step) {
  if (reply_type_ == nbd::rep_err_shutdown) return refused_everywhere(step);
  if (options_.tls == TlsPolicy::require) {
    return leave(
        step, FailureKind::refused,
        "the server refuses TLS, which is required, so nothing was asked of it " + server_said());
  }
  tls_was_refused_ = true;
  ask_for_headers(step);
}

void ClientHandshake::structured_settled(Step& step) {
  if (options_.goal == ClientHandshakeOptions::Goal::list) return send_option(step, nbd::opt_list);
  if (!transmission_.structured_replies) return ask_for_own_export(step);
  send_option(step, nbd::opt_set_meta_context, context_query(options_.export_name));
}

void ClientHandshake::ask_for_own_export(Step& step) {
  const bool goes = options_.goal == ClientHandshakeOptions::Goal::go;
  ask_for_export(step, options_.export_name, goes ? nbd::opt_go : nbd::opt_info);
}

void ClientHandshake::ask_for_export(Step& step, const std::string& name, std::uint32_t option) {
  told_ = {};
  told_.name = name;
  size_told_ = false;
  block_size_told_ = false;
  send_option(step, option, export_query(name));
}

void ClientHandshake::ask_by_name(Step& step) {
  Bytes name;
  append_text(name, options_.export_name);
  send_option(step, nbd::opt_export_name, name);
  expect(Part::export_name_reply,
         sizeof(nbd::ExportNameReply) + (pads_zeroes_ ? nbd::export_name_padding : 0));
}

void ClientHandshake::export_refused(Step& step) {
  if (options_.goal == ClientHandshakeOptions::Goal::list) {
    // A server without INFO has it for none of them.
    if (reply_type_ == nbd::rep_err_unsup) return say_goodbye(step);
    ++asking_;
    return ask_next_listed(step);
  }
  const std::string name = "'" + printable(options_.export_name) + "'";
  switch (reply_type_) {
    case nbd::rep_err_unsup:
      return ask_by_name(step);
    case nbd::rep_err_unknown:
      return leave(step, FailureKind::not_found,
                   "the server has no export named " + name +
                       "; `nbdring info --list URI` shows which it has " + server_said());
    case nbd::rep_err_policy:
      return leave(step, FailureKind::refused,
                   "the server's policy refuses the export " + name + " " + server_said());
    case nbd::rep_err_block_size_reqd:
      return broken("it demands that block sizes are asked for, which they were");
    case nbd::rep_err_ext_header_reqd:
      return leave(step, FailureKind::unreachable,
                   "the server serves " + name +
                       " only with extended headers, to which it did not "
                       "agree " +
                       server_said());
    default:
      return leave(step, FailureKind::unreachable,
                   "the server refuses the export " + name + " " + server_said());
  }
}

void ClientHandshake::ask_next_listed(Step& step) {
  // The answers must fit into what the server may send in all.
  const bool has_room = total_bytes_ < limits_.total_bytes_max / 2;
  if (asking_ >= exports_.size() || asking_ >= limits_.asked_max || !has_room) {
    return say_goodbye(step);
  }
  ask_for_export(step, exports_[asking_].name, nbd::opt_info);
}

void ClientHandshake::say_goodbye(Step& step) {
  send_option(step, nbd::opt_abort);
  state_ = State::ended;
}

void ClientHandshake::disconnect(Step& step) {
  // With extended headers the message is another; a server that has them and gets here is not worth
  // it: it sees the connection close.
  if (!transmission_.extended_headers) {
    append_struct(step.output, nbd::RequestHeader{nbd::request_magic, 0, nbd::cmd_disc, 0, 0, 0});
  }
  state_ = State::ended;
}

// "(ERR_POLICY: not today)"
std::string ClientHandshake::server_said() const {
  const std::string text = printable(text_of(part_data_));
  return "(" + reply_error_name(reply_type_) + (text.empty() ? "" : ": " + text) + ")";
}

}  // namespace nbdring
