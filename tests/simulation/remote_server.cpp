#include "tests/simulation/remote_server.hpp"

#include <algorithm>
#include <cstring>

#include "client/protocol/reply.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

std::span<std::byte> range_of(std::vector<std::byte>& image, const nbd::RequestHeader& header) {
  const std::uint64_t offset = header.offset;
  const std::uint32_t length = header.length;
  ENSURE(offset <= image.size() && length <= image.size() - offset);
  return std::span(image).subspan(offset, length);
}

}  // namespace

RemoteServer::RemoteServer(Loop& loop, Random& random, const Export& about)
    : loop_(loop), random_(random), about_(about), volatile_(about.size), stable_(about.size) {}

void RemoteServer::fill(std::span<const std::byte> bytes) {
  volatile_.assign(bytes.begin(), bytes.end());
  stable_ = volatile_;
}

Task<Dialled> RemoteServer::accept() {
  co_await loop_.sleep(std::chrono::milliseconds(random_.between(0, 40)));
  const auto deadline = Clock::now() + std::chrono::seconds(2);
  while (is_stalled_ && Clock::now() < deadline) {
    co_await loop_.sleep(std::chrono::milliseconds(20));
  }
  if (!is_up_ || is_unreachable_ || is_stalled_) {
    throw Failure(FailureKind::unreachable, "the simulated server is away");
  }
  Dialled dialled;
  sessions_.emplace_back();
  dialled.socket = std::make_unique<RemotePipeStream>(loop_, random_, sessions_.back().pipe);
  dialled.about = about_;
  co_return dialled;
}

// Some clients hear of it at once, some when the word has come through, and until then what had
// been answered still arrives.
void RemoteServer::crash() {
  volatile_ = stable_;
  for (Session& session : sessions_) {
    session.pipe->to_server.clear();
    if (session.pipe->is_cut) continue;
    if (random_.percent(50)) {
      session.pipe->server_closes();
    } else {
      session.pipe->cut(false, Clock::now());
      session.pipe->noticed_from = Clock::now() + std::chrono::milliseconds(random_.below(1'500));
      unaware_.push_back(session.pipe);
    }
  }
  sessions_.clear();
  is_up_ = is_stalled_ = false;
}

void RemoteServer::tell_unaware() {
  std::erase_if(unaware_, [](const std::shared_ptr<RemotePipe>& pipe) {
    if (Clock::now() < pipe->noticed_from) return false;
    pipe->is_noticed = true;
    pipe->update();
    return true;
  });
}

// A server that goes on has first of all what it had before: it is done with those whose client
// gave it up before it takes new ones. What such a client has not had read was dropped by its
// reset.
void RemoteServer::stall(bool stalls) {
  is_stalled_ = stalls;
  for (Session& session : sessions_) {
    if (!stalls && session.pipe->client_is_gone && !session.pipe->is_cut) finish_ghosts(session);
  }
}

void RemoteServer::finish_ghosts(Session& session) {
  if (session.pipe->was_reset) session.pipe->to_server.clear();
  while (read_one(session)) {
  }
  while (!session.asked.empty()) execute(session, random_.below(session.asked.size()));
}

void RemoteServer::cut(RemotePipe& pipe) {
  if (pipe.is_cut) return;
  const auto most = static_cast<std::uint64_t>(latest_ghost.count());
  pipe.cut(random_.percent(60), Clock::now() + std::chrono::milliseconds(random_.below(most)));
}

void RemoteServer::cut_one() {
  if (sessions_.empty()) return;
  const auto which = static_cast<std::ptrdiff_t>(random_.below(sessions_.size()));
  cut(*std::next(sessions_.begin(), which)->pipe);
}

void RemoteServer::cut_all() {
  for (Session& session : sessions_) cut(*session.pipe);
}

void RemoteServer::set_unreachable(bool unreachable) {
  if (unreachable) cut_all();
  is_unreachable_ = unreachable;
}

void RemoteServer::step() {
  tell_unaware();
  if (!is_up_ || is_stalled_) return;
  for (auto session = sessions_.begin(); session != sessions_.end();) {
    read(*session);
    work(*session);
    session = is_over(*session) ? sessions_.erase(session) : std::next(session);
  }
}

// What is late is read at the last moment that it may be, or at any before.
void RemoteServer::read(Session& session) {
  const RemotePipe& pipe = *session.pipe;
  if (pipe.is_cut && Clock::now() < pipe.late_until && !random_.percent(1)) return;
  while (!session.has_ended && random_.percent(80) && read_one(session)) {
  }
}

bool RemoteServer::read_one(Session& session) {
  auto& bytes = session.pipe->to_server;
  Asked asked;
  if (bytes.size() < sizeof asked.header) return false;
  std::copy_n(bytes.begin(), sizeof asked.header, reinterpret_cast<std::byte*>(&asked.header));
  ENSURE(asked.header.magic == nbd::request_magic);
  const bool is_write = asked.header.command == nbd::cmd_write;
  const std::size_t payload = is_write ? std::uint32_t{asked.header.length} : 0;
  if (bytes.size() < sizeof asked.header + payload) return false;
  const auto begin = bytes.begin() + sizeof asked.header;
  const auto end = begin + static_cast<std::ptrdiff_t>(payload);
  asked.payload.assign(begin, end);
  bytes.erase(bytes.begin(), end);
  if (asked.header.command == nbd::cmd_disc) {
    session.has_ended = true;
  } else {
    session.asked.push_back(std::move(asked));
  }
  return true;
}

void RemoteServer::work(Session& session) {
  while (!session.asked.empty() && random_.percent(40)) {
    execute(session, random_.below(session.asked.size()));
  }
  while (!session.answers.empty() && random_.percent(40)) {
    const std::size_t index = random_.below(session.answers.size());
    session.pipe->server_sends(session.answers[index]);
    session.answers.erase(session.answers.begin() + static_cast<std::ptrdiff_t>(index));
  }
}

void RemoteServer::execute(Session& session, std::size_t index) {
  const Asked asked = std::move(session.asked[index]);
  session.asked.erase(session.asked.begin() + static_cast<std::ptrdiff_t>(index));
  const nbd::RequestHeader& header = asked.header;
  const std::uint16_t command = header.command;
  ++executed_;
  if (session.pipe->client_is_gone && command == nbd::cmd_write) ++ghosts_;
  std::vector<std::byte> data;
  if (command == nbd::cmd_flush) {
    stable_ = volatile_;
  } else {
    const auto range = range_of(volatile_, header);
    if (command == nbd::cmd_read) data.assign(range.begin(), range.end());
    if (command == nbd::cmd_write)
      std::copy(asked.payload.begin(), asked.payload.end(), range.begin());
    if (command == nbd::cmd_trim || command == nbd::cmd_write_zeroes) {
      std::fill(range.begin(), range.end(), std::byte{0});
    }
    if ((header.command_flags & nbd::cmd_flag_fua) != 0) {
      std::copy(range.begin(), range.end(), range_of(stable_, header).begin());
    }
  }
  std::uint64_t cookie = 0;
  std::memcpy(&cookie, &header.cookie, sizeof cookie);
  const ReplyHeader reply = encode_simple_reply(cookie, 0);
  const auto used = reply.used();
  std::vector<std::byte> answer(used.begin(), used.end());
  answer.insert(answer.end(), data.begin(), data.end());
  session.answers.push_back(std::move(answer));
}

// "The server MUST handle all outstanding requests and close": the fence.
bool RemoteServer::is_over(Session& session) const {
  RemotePipe& pipe = *session.pipe;
  const bool has_more = pipe.to_server.size() >= sizeof(nbd::RequestHeader) && !session.has_ended;
  if (!session.asked.empty() || has_more) return false;
  if (pipe.is_cut) return Clock::now() >= pipe.late_until;
  if (!session.answers.empty() && !pipe.client_is_gone) return false;
  if (!session.has_ended && !pipe.client_has_ended) return false;
  pipe.server_closes();
  return true;
}

}  // namespace nbdring
