#include "tests/simulation/driver.hpp"

#include <algorithm>

namespace nbdring {
namespace {

SimulatedStreamOptions socket_options() {
  SimulatedStreamOptions options;
  options.window_bytes = 1 << 20;
  options.receives_all = true;
  return options;
}

std::string text_of(const PlannedRequest& planned) {
  return "command " + std::to_string(planned.request.command) + " at " +
         std::to_string(planned.request.offset) + " length " +
         std::to_string(planned.request.length) + " number " + std::to_string(planned.number);
}

}  // namespace

SimulatedDriver::SimulatedDriver(Random& random, FaultyBackend& backend, Oracle& oracle,
                                 const DriverPlan& plan, Trace trace)
    : random_(random),
      backend_(backend),
      oracle_(oracle),
      plan_(plan),
      trace_(std::move(trace)),
      script_(random, backend.about(), transmission_, oracle, 0),
      connections_(plan.connections),
      to_send_(plan.requests) {}

SimulatedStream& SimulatedDriver::connect(std::size_t index, Loop& loop) {
  auto& connection = connections_[index];
  ENSURE(!connection || !connection->is_alive);
  if (connection) former_.push_back(std::move(connection));
  connection = std::make_unique<Connection>(loop, random_, socket_options());
  return connection->stream;
}

void SimulatedDriver::shoot(std::size_t index) {
  Connection& connection = *connections_[index];
  if (!connection.is_alive) return;
  if (trace_) trace_("driver: connection " + std::to_string(index) + " is shut down");
  connection.is_alive = false;
  connection.stream.client_shuts_down();
}

void SimulatedDriver::disconnect() {
  ClientRequest last;
  last.command = nbd::cmd_disc;
  for (const auto& connection : connections_) {
    if (!connection->is_alive) continue;
    connection->stream.client_sends(connection->side.encode(last, {}));
    connection->stream.deliver(SIZE_MAX);
  }
}

bool SimulatedDriver::is_between_replies(std::size_t index) const {
  const Connection& connection = *connections_[index];
  return !connection.is_alive || connection.side.unparsed() == 0;
}

bool SimulatedDriver::has_old_request(Clock::duration age) const {
  const auto now = Clock::now();
  return std::any_of(requests_.begin(), requests_.end(), [&](const Outstanding& request) {
    const bool is_sent = request.on != nullptr && request.on->gone_out >= request.end;
    return is_sent && request.on->is_alive && now - request.began >= age;
  });
}

void SimulatedDriver::step() {
  send_new();
  send_bytes();
  for (const auto& connection : connections_) {
    if (connection->is_alive && random_.percent(80)) receive(*connection);
  }
  expire();
}

SimulatedDriver::Connection* SimulatedDriver::pick_connection() {
  const std::size_t begin = random_.below(connections_.size());
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    const auto& connection = connections_[(begin + i) % connections_.size()];
    if (connection->is_alive) return connection.get();
  }
  return nullptr;
}

void SimulatedDriver::send_new() {
  while (to_send_ > 0 && requests_.size() < plan_.depth && random_.percent(50)) {
    --to_send_;
    Outstanding& request = requests_.emplace_back();
    request.planned = script_.next(0, next_number_++);
    request.planned.sent_at = oracle_.event();
    const ClientRequest& asked = request.planned.request;
    if (request.planned.is_change) oracle_.begin_change(asked.offset, asked.length);
    send(request);
  }
}

void SimulatedDriver::send(Outstanding& request) {
  Connection* connection = pick_connection();
  request.on = connection;
  request.has_begun = false;
  if (connection == nullptr) return;
  request.planned.request.cookie = random_.next();
  const auto bytes = connection->side.encode(request.planned.request, request.planned.payload);
  request.first_byte = connection->sent;
  connection->sent += bytes.size();
  request.end = connection->sent;
  connection->stream.client_sends(bytes);
  ++progress_;
  if (trace_) {
    const auto index = std::find_if(connections_.begin(), connections_.end(),
                                    [&](const auto& one) { return one.get() == connection; });
    trace_("driver: sends " + text_of(request.planned) + " on connection " +
           std::to_string(index - connections_.begin()));
  }
}

void SimulatedDriver::send_bytes() {
  for (const auto& connection : connections_) {
    if (!connection->is_alive || connection->stream.in_transit() == 0) continue;
    const std::size_t some = random_.between(1, random_.percent(50) ? 40 : 2000);
    const std::size_t bytes = random_.percent(60) ? SIZE_MAX : some;
    connection->gone_out += connection->stream.deliver(bytes);
  }
  for (Outstanding& request : requests_) {
    if (request.on == nullptr || request.has_begun) continue;
    if (request.on->gone_out <= request.first_byte) continue;
    request.has_begun = true;
    request.began = Clock::now();
  }
}

void SimulatedDriver::expire() {
  const auto now = Clock::now();
  for (Outstanding& request : requests_) {
    if (request.on == nullptr) {
      send(request);
      continue;
    }
    // One that was not sent as a whole when its connection died is sent again at once.
    const bool is_sent = request.on->gone_out >= request.end;
    if (is_sent ? now - request.began < plan_.timeout : request.on->is_alive) continue;
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      if (connections_[i].get() == request.on) shoot(i);
    }
    ++sent_again_;
    send(request);
  }
}

void SimulatedDriver::receive(Connection& connection) {
  if (connection.stream.unread() == 0) return;
  connection.side.feed(connection.stream.client_takes(SIZE_MAX));
  while (const auto reply = connection.side.next()) take(connection, *reply);
}

void SimulatedDriver::take(Connection& connection, const ClientReply& reply) {
  ++progress_;
  const auto found = std::find_if(requests_.begin(), requests_.end(), [&](const auto& request) {
    return request.on == &connection && request.planned.request.cookie == reply.request.cookie;
  });
  if (found == requests_.end()) throw ProtocolViolation("a reply to what nobody waits for");
  const PlannedRequest planned = std::move(found->planned);
  requests_.erase(found);
  const ClientRequest& request = planned.request;
  if (trace_) trace_("driver: has the reply to " + text_of(planned));
  if (reply.error != 0) {
    throw ProtocolViolation(text_of(planned) + " failed with " + std::to_string(reply.error));
  }
  if (planned.is_change) oracle_.end_change(request.offset, request.length, planned.number);
  const auto stable = backend_.stable();
  if (request.command == nbd::cmd_read) {
    oracle_.check_read(request.offset, reply.data, planned.sent_at);
  } else if (request.command == nbd::cmd_flush) {
    oracle_.check_image(stable, 0, stable.size(), planned.sent_at, "FLUSH");
  } else if ((request.flags & nbd::cmd_flag_fua) != 0) {
    oracle_.check_image(stable, request.offset, request.length, UINT64_MAX, "FUA");
  }
}

}  // namespace nbdring
