// What a server tells of its exports: LIST, SET_META_CONTEXT, INFO and GO, and the answer to
// EXPORT_NAME.

#include "client/protocol/handshake_client.hpp"
#include "client/protocol/handshake_fields.hpp"
#include "client/protocol/handshake_names.hpp"

namespace nbdring {
namespace {

constexpr std::uint16_t known_transmission_flags = (nbd::flag_block_status_payload << 1) - 1;

bool is_string(std::string_view text) {
  return text.size() <= nbd::string_bytes_max && text.find('\0') == std::string_view::npos;
}

}  // namespace

void ClientHandshake::receive_listed() {
  if (replies_ > limits_.exports_max) {
    return broken("it lists more than " + std::to_string(limits_.exports_max) + " exports");
  }
  FieldReader reader(part_data_);
  const auto name = reader.take_text();
  if (!name || !is_string(*name)) return broken("the name of a listed export is no name");
  if (!is_string(reader.rest())) return broken("the description of a listed export is no text");
  Listed listed;
  listed.name = *name;
  listed.description = reader.rest();
  exports_.push_back(std::move(listed));
}

void ClientHandshake::receive_context() {
  if (replies_ > limits_.contexts_max) {
    return broken("it names more than " + std::to_string(limits_.contexts_max) +
                  " metadata contexts");
  }
  FieldReader reader(part_data_);
  const auto id = reader.take<Be32>();
  if (!id || !is_string(reader.rest())) return broken("a metadata context is malformed");
  if (reader.rest() != nbd::base_allocation) return;  // not asked for, and never asked about
  if (context_told_ && *id != context_id_) {
    return broken("base:allocation has two numbers");
  }
  context_told_ = true;
  context_id_ = *id;
}

void ClientHandshake::receive_info() {
  if (replies_ > limits_.infos_max) {
    return broken("it tells more than " + std::to_string(limits_.infos_max) +
                  " things about one export");
  }
  FieldReader reader(part_data_);
  const auto type = reader.take<Be16>();
  if (!type) return broken("an information lacks its type");
  switch (*type) {
    case nbd::info_export: {
      if (part_data_.size() != sizeof(nbd::InfoExport)) {
        return broken("the information about the size has a wrong length");
      }
      const auto info = read_struct<nbd::InfoExport>(part_data_);
      const bool differs =
          info.size != told_.size || info.transmission_flags != told_.transmission_flags;
      if (size_told_ && differs) return broken("it tells two sizes or two sets of flags");
      size_told_ = true;
      told_.size = info.size;
      told_.transmission_flags = info.transmission_flags;
      return;
    }
    case nbd::info_name:
    case nbd::info_description:
      if (!is_string(reader.rest())) return broken("an export's name or description is no text");
      (*type == nbd::info_name ? told_.name : told_.description) = reader.rest();
      return;
    case nbd::info_block_size:
      return receive_block_size();
    default:
      return;  // of a later version of the protocol
  }
}

void ClientHandshake::receive_block_size() {
  if (part_data_.size() != sizeof(nbd::InfoBlockSize)) {
    return broken("the information about block sizes has a wrong length");
  }
  const auto info = read_struct<nbd::InfoBlockSize>(part_data_);
  told_.block_size = {info.minimum, info.preferred, info.maximum};
  block_size_told_ = true;
}

void ClientHandshake::export_told(Step& step) {
  if (!size_told_) return broken("it acknowledges " + option_name(option_) + " without a size");
  if (options_.goal == ClientHandshakeOptions::Goal::list) return listed_export_told(step);
  if (const char* rule = settle(told_)) return broken(rule);
  about_ = told_;
  if (options_.goal == ClientHandshakeOptions::Goal::go) {
    state_ = State::transmission;
    return;
  }
  // nbd-server opens an export only for GO, and calls it empty before.
  const bool only_looked = option_ == nbd::opt_info;
  if (only_looked && about_.size == 0) {
    return ask_for_export(step, options_.export_name, nbd::opt_go);
  }
  exports_.push_back({about_.name, about_.description, true, block_size_told_, about_});
  return only_looked ? say_goodbye(step) : disconnect(step);
}

// One broken export of a list is no reason to hide the others: it is not known.
void ClientHandshake::listed_export_told(Step& step) {
  Listed& listed = exports_[asking_];
  if (settle(told_) == nullptr) {
    listed.is_known = true;
    listed.tells_block_size = block_size_told_;
    listed.about = told_;
    if (!told_.description.empty()) listed.description = told_.description;
  }
  ++asking_;
  ask_next_listed(step);
}

// Takes away the flags that say nothing here; a flag that depends on another is not worth a
// refusal, as other clients do not refuse it. The rule that is broken, or null.
const char* ClientHandshake::settle(Export& about) const {
  std::uint16_t flags = about.transmission_flags & known_transmission_flags;
  if ((flags & nbd::flag_send_write_zeroes) == 0) {
    flags &= static_cast<std::uint16_t>(~nbd::flag_send_fast_zero);
  }
  if (!transmission_.structured_replies) flags &= static_cast<std::uint16_t>(~nbd::flag_send_df);
  if (!transmission_.extended_headers) {
    flags &= static_cast<std::uint16_t>(~nbd::flag_block_status_payload);
  }
  about.transmission_flags = flags;
  return broken_rule(about);
}

void ClientHandshake::receive_export_name_reply(Step& step) {
  const auto reply = read_struct<nbd::ExportNameReply>(part_data_);
  about_ = {};
  about_.name = options_.export_name;
  about_.size = reply.size;
  about_.transmission_flags = reply.transmission_flags;
  if (const char* rule = settle(about_)) return broken(rule);
  if (options_.goal == ClientHandshakeOptions::Goal::go) {
    state_ = State::transmission;
    return;
  }
  exports_.push_back({about_.name, about_.description, true, false, about_});
  disconnect(step);  // transmission has begun, and nothing else leads out of it
}

}  // namespace nbdring
