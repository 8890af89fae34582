#include "tests/simulation/client.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

namespace nbdring {
namespace {

// "Error values", written down a second time.
std::uint32_t nbd_error_of(int error) {
  switch (error) {
    case EACCES:
      return nbd::eperm;
    case ENOSPC:
    case EDQUOT:
      return nbd::enospc;
    case ENOMEM:
      return nbd::enomem;
    case EINVAL:
      return nbd::einval;
    default:
      return nbd::eio;
  }
}

std::string text_of(const ClientRequest& request) {
  return "command " + std::to_string(request.command) + " flags " + std::to_string(request.flags) +
         " cookie " + std::to_string(request.cookie) + " offset " + std::to_string(request.offset) +
         " length " + std::to_string(request.length);
}

}  // namespace

SimulatedClient::SimulatedClient(Stage& stage, Loop& loop, std::size_t index,
                                 const ClientPlan& plan)
    : stage_(stage),
      index_(index),
      plan_(plan),
      stream_(loop, stage.random, plan.stream),
      side_(plan.transmission.structured_replies),
      script_(stage.random, stage.backend.about(), plan_.transmission, stage.oracle,
              plan.invalid_percent),
      to_send_(plan.requests) {}

void SimulatedClient::trace(const std::string& text) const {
  if (stage_.trace) stage_.trace("lane " + std::to_string(index_) + " client: " + text);
}

void SimulatedClient::step() {
  Random& random = stage_.random;
  while (to_send_ > 0 && side_.outstanding().size() < plan_.depth && random.percent(60)) {
    send_one();
  }
  if (stream_.in_transit() > 0 && random.percent(70)) progress_ += stream_.deliver(delivery());
  if (random.percent(plan_.reading_percent)) read_replies();
  if (has_ended_) return;
  const bool resets_now = plan_.ending == Ending::reset && random.below(plan_.requests * 4) == 0;
  if (to_send_ == 0 || resets_now) end_connection();
}

std::size_t SimulatedClient::delivery() {
  const std::uint64_t kind = stage_.random.below(10);
  if (kind < 2) return stage_.random.between(1, sizeof(nbd::RequestHeader));
  if (kind < 5) return stage_.random.between(1, 4096);
  return stream_.in_transit();
}

void SimulatedClient::send_one() {
  const std::uint64_t cookie = stage_.random.next();
  PlannedRequest planned = script_.next(cookie, stage_.next_number++);
  if (stage_.trace) trace("sends " + text_of(planned.request));
  stream_.client_sends(side_.encode(planned.request, planned.payload));
  planned.payload.clear();
  planned.sent_at = stage_.oracle.event();
  if (planned.is_change) {
    stage_.oracle.begin_change(planned.request.offset, planned.request.length);
  }
  planned_.emplace(cookie, std::move(planned));
  --to_send_;
  ++progress_;
}

void SimulatedClient::end_connection() {
  has_ended_ = true;
  to_send_ = 0;
  ClientRequest last;
  switch (plan_.ending) {
    case Ending::disconnect:
      trace("disconnects");
      last.command = nbd::cmd_disc;
      stream_.client_sends(side_.encode(last, {}));
      if (stage_.random.percent(30)) stream_.client_sends(std::vector<std::byte>(100));
      return;
    case Ending::close:
      trace("closes");
      return stream_.client_closes();
    case Ending::cut:
      return cut_a_request();
    case Ending::garbage:
    case Ending::endless:
      trace("sends what nobody understands");
      last.cookie = stage_.random.next();
      if (plan_.ending == Ending::garbage) last.magic ^= 1U << stage_.random.below(32);
      last.command = nbd::cmd_write;
      last.length = nbd::drained_write_max + 1;
      stream_.client_sends(side_.encode(last, std::vector<std::byte>(50)));
      return side_.forget(last.cookie);
    case Ending::reset:
      trace("resets the connection");
      return stream_.client_resets();
  }
}

void SimulatedClient::cut_a_request() {
  const PlannedRequest planned = script_.next(stage_.random.next(), stage_.next_number++);
  const auto bytes = side_.encode(planned.request, planned.payload);
  side_.forget(planned.request.cookie);
  const std::size_t sent = stage_.random.between(1, bytes.size() - 1);
  trace("closes after " + std::to_string(sent) + " bytes of " + text_of(planned.request));
  stream_.client_sends(std::span(bytes).first(sent));
  stream_.client_closes();
}

void SimulatedClient::read_replies() {
  if (stream_.unread() == 0) return;
  Random& random = stage_.random;
  ++progress_;
  const std::size_t most = random.percent(50) ? stream_.unread() : random.between(1, 5000);
  side_.feed(stream_.client_takes(most));
  while (const auto reply = side_.next()) take(*reply);
}

void SimulatedClient::take(const ClientReply& reply) {
  const ClientRequest& request = reply.request;
  if (stage_.trace) {
    trace("has reply to cookie " + std::to_string(request.cookie) + ": error " +
          std::to_string(reply.error));
  }
  const auto found = planned_.find(request.cookie);
  ENSURE(found != planned_.end());
  const PlannedRequest planned = std::move(found->second);
  planned_.erase(found);
  Oracle& oracle = stage_.oracle;
  if (planned.is_change) {
    const bool known = reply.error == 0;
    oracle.end_change(request.offset, request.length,
                      known ? std::optional(planned.number) : std::nullopt);
  }
  if (reply.error != 0 || !planned.is_valid()) return check_error(planned, reply.error);
  const auto stable = stage_.backend.stable();
  if (request.command == nbd::cmd_read) {
    oracle.check_read(request.offset, reply.data, planned.sent_at);
  } else if (request.command == nbd::cmd_flush) {
    oracle.check_image(stable, 0, stable.size(), planned.sent_at, "FLUSH");
  } else if (request.command == nbd::cmd_block_status) {
    check_extents(planned, reply);
  } else if ((request.flags & nbd::cmd_flag_fua) != 0) {
    oracle.check_image(stable, request.offset, request.length, UINT64_MAX, "FUA");
  }
}

// A refusal has the error that was planned; any other error is one that the backend made.
void SimulatedClient::check_error(const PlannedRequest& planned, std::uint32_t error) {
  const ClientRequest& request = planned.request;
  if (!planned.is_valid()) {
    if (error == planned.error) return;
    throw ProtocolViolation(text_of(request) + " was answered with error " + std::to_string(error) +
                            " instead of " + std::to_string(planned.error));
  }
  auto& failures = stage_.backend.failures();
  for (auto failure = failures.begin(); failure != failures.end(); ++failure) {
    const auto& [lane, command, offset, length, failed_with] = failure->first;
    const bool same = lane == index_ && command == request.command && offset == request.offset &&
                      length == request.length && nbd_error_of(failed_with) == error;
    if (!same) continue;
    if (--failure->second == 0) failures.erase(failure);
    return;
  }
  throw ProtocolViolation(text_of(request) + " was answered with error " + std::to_string(error) +
                          ", and nothing of that kind happened in the backend");
}

void SimulatedClient::check_extents(const PlannedRequest& planned, const ClientReply& reply) {
  const ClientRequest& request = planned.request;
  std::uint64_t at = request.offset;
  for (const ClientExtent& extent : reply.extents) {
    if (extent.length == 0 || extent.flags != FaultyBackend::extent_flags_at(at)) {
      throw ProtocolViolation("a wrong extent at " + std::to_string(at));
    }
    at += extent.length;
  }
  const bool too_many = (request.flags & nbd::cmd_flag_req_one) != 0 && reply.extents.size() > 1;
  if (too_many || at > request.offset + request.length) {
    throw ProtocolViolation("extents beyond what was asked for");
  }
}

void SimulatedClient::lane_ended(const LaneEnd& end) {
  trace("lane ended: " + (end.is_orderly ? std::string("orderly") : end.reason));
  lane_has_ended_ = true;
  if (stage_.backend.under_way(index_) != 0) {
    throw ProtocolViolation("a lane ended with operations under way in the backend");
  }
  if (stats_.in_flight.get() != 0) throw ProtocolViolation("a lane ended with slots in use");
  if (!has_ended_) throw ProtocolViolation("a lane ended on its own: " + end.reason);
  const bool is_orderly = plan_.ending == Ending::disconnect || plan_.ending == Ending::close;
  if (plan_.ending != Ending::reset && end.is_orderly != is_orderly) {
    throw ProtocolViolation("a lane took a wrong view of its end: '" + end.reason + "'");
  }
  if (plan_.ending == Ending::reset) lose_outstanding();
}

void SimulatedClient::lose_outstanding() {
  for (const auto& [cookie, planned] : planned_) {
    if (!planned.is_change) continue;
    stage_.oracle.end_change(planned.request.offset, planned.request.length, std::nullopt);
  }
  planned_.clear();
}

void SimulatedClient::check_end() {
  if (plan_.ending == Ending::reset) return;
  if (!side_.outstanding().empty()) {
    throw ProtocolViolation("never answered: " + text_of(side_.outstanding().begin()->second));
  }
  if (side_.unparsed() != 0) throw ProtocolViolation("half a reply before the end");
  for (const auto& [failure, count] : stage_.backend.failures()) {
    if (std::get<0>(failure) != index_) continue;
    throw ProtocolViolation("a failure of command " + std::to_string(std::get<1>(failure)) +
                            " at offset " + std::to_string(std::get<2>(failure)) +
                            " was answered as a success");
  }
}

}  // namespace nbdring
