#include "backends/nbd/connection.hpp"

#include "backends/nbd/connection_state.hpp"

namespace nbdring {
namespace {

constexpr std::uint16_t flag_if(bool condition, std::uint16_t flag) { return condition ? flag : 0; }

}  // namespace

Connection::Connection(Loop& loop, Dialled dialled, const ConnectionOptions& options)
    : state_(std::make_unique<State>(loop, std::move(dialled), options)) {}

Connection::~Connection() = default;

Task<Answer> Connection::read(std::uint64_t offset, std::span<std::byte> buffer, Arrival* arrival) {
  State::Question question;
  question.command = Command::read;
  question.offset = offset;
  question.length = buffer.size();
  question.data = buffer;
  question.arrival = arrival;
  return state_->ask(question);
}

Task<Answer> Connection::write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) {
  State::Question question;
  question.command = Command::write;
  question.flags = flag_if(fua, nbd::cmd_flag_fua);
  question.offset = offset;
  question.length = buffer.size();
  question.payload = buffer;
  return state_->ask(question);
}

Task<Answer> Connection::flush() {
  State::Question question;
  question.command = Command::flush;
  return state_->ask(question);
}

Task<Answer> Connection::trim(std::uint64_t offset, std::uint64_t length, bool fua) {
  State::Question question;
  question.command = Command::trim;
  question.flags = flag_if(fua, nbd::cmd_flag_fua);
  question.offset = offset;
  question.length = length;
  return state_->ask(question);
}

Task<Answer> Connection::write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) {
  State::Question question;
  question.command = Command::write_zeroes;
  question.flags = static_cast<std::uint16_t>(flag_if(mode.fua, nbd::cmd_flag_fua) |
                                              flag_if(mode.no_hole, nbd::cmd_flag_no_hole) |
                                              flag_if(mode.fast_zero, nbd::cmd_flag_fast_zero));
  question.offset = offset;
  question.length = length;
  return state_->ask(question);
}

Task<Answer> Connection::extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) {
  ENSURE(state_->dialled.transmission.base_allocation && !list.descriptors.empty());
  State::Question question;
  question.command = Command::block_status;
  question.flags = flag_if(list.descriptors.size() == 1, nbd::cmd_flag_req_one);
  question.offset = offset;
  question.length = length;
  question.list = &list;
  return state_->ask(question);
}

bool Connection::is_lost() const { return state_->is_lost; }
const std::string& Connection::lost_reason() const { return state_->lost_reason; }
bool Connection::was_misled() const { return state_->was_misled; }
Task<void> Connection::wait_lost() { return state_->wait_lost(); }
Task<Connection::Fence> Connection::end(std::chrono::milliseconds deadline) {
  return state_->end(deadline);
}

const Export& Connection::about() const { return state_->dialled.about; }
const TransmissionOptions& Connection::transmission() const { return state_->dialled.transmission; }
std::size_t Connection::in_flight() const { return state_->in_flight(); }
FramePool& Connection::frames() { return state_->frames(); }

}  // namespace nbdring
