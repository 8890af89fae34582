#include "client/protocol/handshake_server.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "client/protocol/handshake_fields.hpp"
#include "client/protocol/reply.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using Bytes = std::span<const std::byte>;

std::string hexadecimal(std::uint64_t value) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(value));
  return text.data();
}

struct InfoQuery {
  std::string_view name;
  bool wants_name = false;
  bool wants_description = false;
};

// INFO and GO: name, count of information types, the types.
std::optional<InfoQuery> parse_info(Bytes data) {
  FieldReader reader(data);
  const auto name = reader.take_text();
  const auto count = reader.take<Be16>();
  if (!name || !count) return std::nullopt;
  InfoQuery query;
  query.name = *name;
  for (unsigned i = 0; i < *count; ++i) {
    const auto type = reader.take<Be16>();
    if (!type) return std::nullopt;
    if (*type == nbd::info_name) query.wants_name = true;
    if (*type == nbd::info_description) query.wants_description = true;
  }
  if (!reader.is_empty()) return std::nullopt;
  return query;
}

struct MetaQuery {
  std::string_view name;
  bool is_empty = true;     // no query at all
  bool is_too_big = false;  // a query is longer than a string may be
  bool names_base = false;  // "base:", which lists the name space
  bool names_allocation = false;
};

// LIST_ and SET_META_CONTEXT: name, count of queries, the queries. Each begins with a name space
// and a colon.
std::optional<MetaQuery> parse_meta(Bytes data) {
  FieldReader reader(data);
  const auto name = reader.take_text();
  const auto count = reader.take<Be32>();
  if (!name || !count) return std::nullopt;
  MetaQuery query;
  query.name = *name;
  query.is_empty = *count == 0;
  for (std::uint32_t i = 0; i < *count; ++i) {
    const auto text = reader.take_text();
    if (!text || text->find(':') == std::string_view::npos) return std::nullopt;
    query.is_too_big = query.is_too_big || text->size() > nbd::string_bytes_max;
    query.names_base = query.names_base || *text == "base:";
    query.names_allocation = query.names_allocation || *text == nbd::base_allocation;
  }
  if (!reader.is_empty()) return std::nullopt;
  return query;
}

}  // namespace

ServerHandshake::ServerHandshake(const Export& about, const HandshakeLimits& limits, TlsPolicy tls)
    : about_(about), limits_(limits), tls_(tls) {
  ENSURE(broken_rule(about) == nullptr);
  expect(Part::client_flags, sizeof(Be32));
}

std::vector<std::byte> ServerHandshake::greeting() const {
  std::vector<std::byte> bytes;
  append_struct(bytes, nbd::Greeting{nbd::init_passwd, nbd::ihaveopt,
                                     nbd::flag_fixed_newstyle | nbd::flag_no_zeroes});
  return bytes;
}

std::size_t ServerHandshake::wanted() const {
  return state_ == State::more ? part_bytes_ - part_data_.size() : 0;
}

ServerHandshake::Step ServerHandshake::feed(std::span<const std::byte> input) {
  ENSURE(state_ == State::more);
  Step step;
  while (state_ == State::more && step.consumed < input.size()) {
    const auto bytes =
        input.subspan(step.consumed, std::min(wanted(), input.size() - step.consumed));
    part_data_.insert(part_data_.end(), bytes.begin(), bytes.end());
    step.consumed += bytes.size();
    // An option without data is complete with its header: no byte of its own will come to say so.
    while (state_ == State::more && wanted() == 0) part_received(step);
  }
  step.state = state_;
  ENSURE(state_ != State::more || step.consumed == input.size());
  return step;
}

void ServerHandshake::tls_started() {
  ENSURE(state_ == State::start_tls);
  // Somebody between the two may have sent the options before this one.
  transmission_ = {};
  chosen_name_.clear();
  is_encrypted_ = true;
  state_ = State::more;
  expect(Part::option_header, sizeof(nbd::OptionHeader));
}

void ServerHandshake::expect(Part part, std::size_t bytes) {
  part_ = part;
  part_bytes_ = bytes;
  part_data_.clear();
}

void ServerHandshake::part_received(Step& step) {
  ENSURE(part_data_.size() == part_bytes_);
  switch (part_) {
    case Part::client_flags:
      return receive_client_flags(step);
    case Part::option_header:
      return receive_option_header(step);
    case Part::option_data:
      answer_option(step);
      return expect(Part::option_header, sizeof(nbd::OptionHeader));
  }
}

void ServerHandshake::receive_client_flags(Step& step) {
  client_flags_ = read_struct<Be32>(part_data_);
  if ((client_flags_ & ~nbd::known_client_flags) != 0) {
    return end(step, State::failed, "unknown client flags " + hexadecimal(client_flags_));
  }
  expect(Part::option_header, sizeof(nbd::OptionHeader));
}

void ServerHandshake::receive_option_header(Step& step) {
  const auto header = read_struct<nbd::OptionHeader>(part_data_);
  if (header.magic != nbd::ihaveopt) {
    return end(step, State::failed,
               "an option begins with " + hexadecimal(header.magic) + " instead of IHAVEOPT");
  }
  option_ = header.option;
  const std::uint32_t length = header.length;
  if (length > nbd::option_bytes_max) {
    return end(step, State::failed,
               "option " + std::to_string(option_) + " carries " + std::to_string(length) +
                   " bytes, more than " + std::to_string(nbd::option_bytes_max));
  }
  ++options_;
  option_bytes_ += static_cast<std::uint32_t>(sizeof header) + length;
  if (options_ > limits_.options_max || option_bytes_ > limits_.option_bytes_max) {
    return end(step, State::failed,
               "too many options: " + std::to_string(options_) + " with " +
                   std::to_string(option_bytes_) + " bytes, without choosing an export");
  }
  if ((client_flags_ & nbd::flag_c_fixed_newstyle) == 0 && option_ != nbd::opt_export_name) {
    return end(step, State::failed,
               "option " + std::to_string(option_) +
                   " from a client that did not agree on fixed newstyle");
  }
  expect(Part::option_data, length);
}

void ServerHandshake::answer_option(Step& step) {
  const bool is_allowed_in_clear = option_ == nbd::opt_starttls || option_ == nbd::opt_abort;
  if (tls_ == TlsPolicy::require && !is_encrypted_ && !is_allowed_in_clear) {
    return refuse_in_clear(step);
  }
  switch (option_) {
    case nbd::opt_export_name:
      return answer_export_name(step);
    case nbd::opt_abort:
      reply(step, nbd::rep_ack);
      return end(step, State::ended);
    case nbd::opt_starttls:
      return answer_starttls(step);
    case nbd::opt_list:
      return answer_list(step);
    case nbd::opt_info:
    case nbd::opt_go:
      return answer_info_or_go(step);
    case nbd::opt_structured_reply:
      return answer_structured_reply(step);
    case nbd::opt_list_meta_context:
    case nbd::opt_set_meta_context:
      return answer_meta_context(step);
    default:
      return reply(step, nbd::rep_err_unsup);
  }
}

void ServerHandshake::refuse_in_clear(Step& step) {
  if (option_ != nbd::opt_export_name) {
    return reply(step, nbd::rep_err_tls_reqd, "this server demands TLS");
  }
  end(step, State::failed, "it asked for an export without TLS, which is required");
}

void ServerHandshake::answer_starttls(Step& step) {
  if (tls_ == TlsPolicy::off) return reply(step, nbd::rep_err_unsup);
  if (is_encrypted_) return reply(step, nbd::rep_err_invalid, "TLS is up already");
  if (!part_data_.empty()) return reply(step, nbd::rep_err_invalid, "STARTTLS takes no data");
  reply(step, nbd::rep_ack);
  end(step, State::start_tls);
}

// The one option that cannot be answered with an error: the document demands to end the session.
void ServerHandshake::answer_export_name(Step& step) {
  const std::string_view name = text_of(part_data_);
  if (!leads_here(name)) {
    constexpr std::size_t shown_max = 64;
    return end(step, State::failed,
               "no export named '" + std::string(name.substr(0, shown_max)) + "'" +
                   (name.size() > shown_max ? " (shortened)" : ""));
  }
  append_struct(step.output,
                nbd::ExportNameReply{about_.size, transmission_flags_for(about_, transmission_)});
  if ((client_flags_ & nbd::flag_c_no_zeroes) == 0) {
    step.output.resize(step.output.size() + nbd::export_name_padding);
  }
  chosen_name_ = name;
  end(step, State::transmission);
}

void ServerHandshake::answer_list(Step& step) {
  if (!part_data_.empty()) return reply(step, nbd::rep_err_invalid, "LIST takes no data");
  const Be32 length = static_cast<std::uint32_t>(about_.name.size());
  reply(step, nbd::rep_server, std::string(as_text(length)) + about_.name);
  reply(step, nbd::rep_ack);
}

// INFO_EXPORT and INFO_BLOCK_SIZE are sent unasked: a client that did not ask may ignore them, and
// one that obeys them is better off.
void ServerHandshake::answer_info_or_go(Step& step) {
  const auto query = parse_info(part_data_);
  if (!query) return reply(step, nbd::rep_err_invalid, "malformed INFO or GO");
  if (query->name.size() > nbd::string_bytes_max) {
    return reply(step, nbd::rep_err_too_big, "the export's name is too long");
  }
  if (!leads_here(query->name)) return reply(step, nbd::rep_err_unknown, "no such export");

  const nbd::InfoExport info{nbd::info_export, about_.size,
                             transmission_flags_for(about_, transmission_)};
  reply(step, nbd::rep_info, as_text(info));
  const auto& sizes = about_.block_size;
  const nbd::InfoBlockSize block_size{nbd::info_block_size, sizes.minimum, sizes.preferred,
                                      sizes.maximum};
  reply(step, nbd::rep_info, as_text(block_size));
  if (query->wants_name) {
    reply(step, nbd::rep_info, std::string(as_text(Be16(nbd::info_name))) + about_.name);
  }
  if (query->wants_description && !about_.description.empty()) {
    reply(step, nbd::rep_info,
          std::string(as_text(Be16(nbd::info_description))) + about_.description);
  }
  reply(step, nbd::rep_ack);
  if (option_ != nbd::opt_go) return;
  chosen_name_ = query->name;
  end(step, State::transmission);
}

void ServerHandshake::answer_structured_reply(Step& step) {
  if (!part_data_.empty()) {
    return reply(step, nbd::rep_err_invalid, "STRUCTURED_REPLY takes no data");
  }
  transmission_.structured_replies = true;
  reply(step, nbd::rep_ack);
}

void ServerHandshake::answer_meta_context(Step& step) {
  const bool sets = option_ == nbd::opt_set_meta_context;
  // SET replaces what was selected before, even when it fails.
  if (sets) transmission_.base_allocation = false;
  if (!transmission_.structured_replies) {
    return reply(step, nbd::rep_err_invalid, "metadata contexts need structured replies first");
  }
  const auto query = parse_meta(part_data_);
  if (!query) return reply(step, nbd::rep_err_invalid, "malformed metadata context query");
  if (query->is_too_big || query->name.size() > nbd::string_bytes_max) {
    return reply(step, nbd::rep_err_too_big, "a name or a query is too long");
  }
  if (!leads_here(query->name)) return reply(step, nbd::rep_err_unknown, "no such export");

  const bool lists_all = !sets && (query->is_empty || query->names_base);
  if (query->names_allocation || lists_all) {
    const Be32 id = sets ? base_allocation_id : 0;  // reserved in the answer to LIST_META_CONTEXT
    reply(step, nbd::rep_meta_context, std::string(as_text(id)) + nbd::base_allocation);
    if (sets) transmission_.base_allocation = true;
  }
  reply(step, nbd::rep_ack);
}

void ServerHandshake::reply(Step& step, std::uint32_t type, std::string_view text) const {
  append_struct(step.output, nbd::OptionReplyHeader{nbd::option_reply_magic, option_, type,
                                                    static_cast<std::uint32_t>(text.size())});
  append_text(step.output, text);
}

void ServerHandshake::end(Step& step, State state, std::string reason) {
  ENSURE(state != State::more && state_ == State::more);
  state_ = state;
  step.reason = std::move(reason);
}

}  // namespace nbdring
