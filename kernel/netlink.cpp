#include "kernel/netlink.hpp"

#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <array>
#include <functional>

#include "client/runtime/error.hpp"
#include "kernel/worker.hpp"

namespace nbdring {
namespace {

using nbd_netlink::Attribute;
using nbd_netlink::Command;

struct FreeMessage {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};
using Message = std::unique_ptr<nl_msg, FreeMessage>;

struct FreeSocket {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};

Message new_message() {
  Message message(nlmsg_alloc());
  ENSURE(message);
  return message;
}

// A message has a page to grow in; the largest of ours (16 sockets, a long identifier) is checked
// where it is parsed.
void put(nl_msg* message, Attribute attribute, std::uint64_t value) {
  ENSURE(nla_put_u64(message, static_cast<int>(attribute), value) == 0);
}

void put_index(nl_msg* message, std::uint32_t index) {
  ENSURE(nla_put_u32(message, static_cast<int>(Attribute::index), index) == 0);
}

// RECONFIGURE must carry the identifier that CONNECT gave, and none where it gave none.
void put_identifier(nl_msg* message, const std::string& identifier) {
  if (identifier.empty()) return;
  ENSURE(nla_put_string(message, static_cast<int>(Attribute::backend_identifier),
                        identifier.c_str()) == 0);
}

void put_sockets(nl_msg* message, const std::vector<FileDescriptor>& sockets) {
  nlattr* const list = nla_nest_start(message, static_cast<int>(Attribute::sockets));
  ENSURE(list);
  for (const FileDescriptor& socket : sockets) {
    nlattr* const item = nla_nest_start(message, nbd_netlink::socket_item);
    ENSURE(item);
    ENSURE(nla_put_u32(message, nbd_netlink::socket_descriptor,
                       static_cast<std::uint32_t>(socket.get())) == 0);
    nla_nest_end(message, item);
  }
  nla_nest_end(message, list);
}

void put_connect(nl_msg* message, const ConnectRequest& request) {
  put_index(message, request.index);
  put(message, Attribute::size_bytes, request.size);
  put(message, Attribute::block_size_bytes, request.block_size);
  put(message, Attribute::timeout_seconds, request.timeout_seconds);
  put(message, Attribute::dead_connection_timeout, request.dead_connection_seconds);
  put(message, Attribute::server_flags, request.server_flags);
  if (request.client_flags != 0) put(message, Attribute::client_flags, request.client_flags);
  put_identifier(message, request.identifier);
  put_sockets(message, *request.sockets);
}

using Socket = std::unique_ptr<nl_sock, FreeSocket>;

// Another process that had the same socket must not have begun anywhere near. (Never 0, however
// many calls follow: to libnl that is "choose one".)
std::uint32_t first_sequence() {
  std::uint32_t number = 0;
  ENSURE(::getrandom(&number, sizeof number, 0) == sizeof number);
  return number / 2 + 1;
}

/// The socket and what is known of the family. Used by the worker's thread only.
struct Channel {
  FileDescriptor given;  // until it is in `socket`
  Socket socket;
  int family = 0;
  std::uint32_t sequence = first_sequence();  // of the call that is under way
  int answer = 0;                             // its errno
  bool answered = false;

  int open();
  int find_family();
  int make_socket();
  void forget_old_answers();
  bool has_answer() const;
  int exchange(Command command, const std::function<void(nl_msg*)>& fill);
};

// On a shared socket, what came to a process that has died.
int take_only_ours(nl_msg* message, void* channel) {
  const bool ours = nlmsg_hdr(message)->nlmsg_seq == static_cast<Channel*>(channel)->sequence;
  return ours ? NL_OK : NL_SKIP;
}

// libnl folds errnos into its own, fewer, codes; the driver's own number is in the answer.
int take_error(sockaddr_nl*, nlmsgerr* answer, void* channel) {
  static_cast<Channel*>(channel)->answer = -answer->error;
  static_cast<Channel*>(channel)->answered = true;
  return NL_STOP;
}

int take_acknowledgement(nl_msg*, void* channel) {
  static_cast<Channel*>(channel)->answered = true;
  return NL_STOP;
}

int errno_of(int libnl_error) {
  switch (-libnl_error) {
    case NLE_OBJ_NOTFOUND:
      return ENOENT;
    case NLE_PERM:
    case NLE_NOACCESS:
      return EPERM;
    case NLE_NOMEM:
      return ENOMEM;
    case NLE_PROTO_MISMATCH:
    case NLE_AF_NOSUPPORT:
    case NLE_BAD_SOCK:
      return EPROTONOSUPPORT;
    default:
      return EIO;
  }
}

// The driver can have been loaded again since: then the family has another number. Asked on a
// socket of its own, so that nobody else reads the answer.
int Channel::find_family() {
  const Socket asking(nl_socket_alloc());
  if (!asking) return ENOMEM;
  if (const int error = genl_connect(asking.get())) return errno_of(error);
  const int found = genl_ctrl_resolve(asking.get(), nbd_netlink::family_name);
  if (found < 0) return errno_of(found);
  family = found;
  return 0;
}

int Channel::make_socket() {
  Socket fresh(nl_socket_alloc());
  if (!fresh) return ENOMEM;
  const int error = given.is_open() ? nl_socket_set_fd(fresh.get(), NETLINK_GENERIC, given.get())
                                    : genl_connect(fresh.get());
  if (error != 0) return errno_of(error);
  given.release();  // libnl closes it with its socket
  nl_socket_modify_cb(fresh.get(), NL_CB_SEQ_CHECK, NL_CB_CUSTOM, take_only_ours, this);
  nl_socket_modify_cb(fresh.get(), NL_CB_ACK, NL_CB_CUSTOM, take_acknowledgement, this);
  nl_socket_modify_err_cb(fresh.get(), NL_CB_CUSTOM, take_error, this);
  socket = std::move(fresh);
  return 0;
}

int Channel::open() {
  if (const int error = find_family()) return error;
  return socket ? 0 : make_socket();
}

// Were the queue full of them there would be no room for ours.
void Channel::forget_old_answers() {
  std::array<std::byte, 4096> old;
  while (::recv(nl_socket_get_fd(socket.get()), old.data(), old.size(), MSG_DONTWAIT) >= 0) {
  }
}

// It comes within the sending: where it is not there it was lost, and waiting brings nothing.
bool Channel::has_answer() const {
  constexpr int patience = 1000;  // milliseconds
  pollfd answers{nl_socket_get_fd(socket.get()), POLLIN, 0};
  return ::poll(&answers, 1, patience) == 1;
}

int Channel::exchange(Command command, const std::function<void(nl_msg*)>& fill) {
  if (!socket) {
    if (const int error = open()) return error;
  }
  const Message message = new_message();
  ENSURE(genlmsg_put(message.get(), NL_AUTO_PORT, ++sequence, family, 0, NLM_F_REQUEST,
                     static_cast<std::uint8_t>(command), nbd_netlink::family_version));
  fill(message.get());
  answer = 0;
  answered = false;
  forget_old_answers();
  // Also asks for the acknowledgement. The operation runs inside the send: this is the call that
  // may hang.
  if (const int sent = nl_send_auto(socket.get(), message.get()); sent < 0) return errno_of(sent);
  while (!answered) {
    if (!has_answer()) return ENOMSG;
    if (const int received = nl_recvmsgs_default(socket.get()); received < 0 && !answered) {
      return errno_of(received);
    }
  }
  return answer;
}

}  // namespace

std::string NetlinkResult::words() const {
  return stuck ? "the driver does not answer" : error_text(error);
}

struct Netlink::State {
  // Shared with the call that is under way: it outlives us when it is stuck.
  std::shared_ptr<Channel> channel = std::make_shared<Channel>();
  Worker worker;

  explicit State(FileDescriptor socket) { channel->given = std::move(socket); }

  NetlinkResult run(std::function<int()> call, Deadline deadline) {
    const std::optional<int> error = worker.call<int>(std::move(call), deadline);
    if (!error) return NetlinkResult{true, 0};
    return NetlinkResult{false, *error};
  }

  NetlinkResult reconfigure(std::uint32_t index, const std::string& identifier, Attribute attribute,
                            std::uint64_t value, Deadline deadline) {
    const auto call = [channel = channel, index, identifier, attribute, value] {
      return channel->exchange(Command::reconfigure, [&](nl_msg* message) {
        put_index(message, index);
        put(message, attribute, value);
        put_identifier(message, identifier);
      });
    };
    return run(call, deadline);
  }
};

Netlink::Netlink(FileDescriptor socket) : state_(std::make_unique<State>(std::move(socket))) {}
Netlink::~Netlink() = default;

NetlinkResult Netlink::open(Deadline deadline) {
  return state_->run([channel = state_->channel] { return channel->open(); }, deadline);
}

NetlinkResult Netlink::connect(const ConnectRequest& request, Deadline deadline) {
  ENSURE(request.sockets && !request.sockets->empty());
  const auto call = [channel = state_->channel, request] {
    return channel->exchange(Command::connect,
                             [&request](nl_msg* message) { put_connect(message, request); });
  };
  return state_->run(call, deadline);
}

NetlinkResult Netlink::set_size(std::uint32_t index, const std::string& identifier,
                                std::uint64_t size, Deadline deadline) {
  return state_->reconfigure(index, identifier, Attribute::size_bytes, size, deadline);
}

NetlinkResult Netlink::set_dead_connection_timeout(std::uint32_t index,
                                                   const std::string& identifier,
                                                   std::uint64_t seconds, Deadline deadline) {
  return state_->reconfigure(index, identifier, Attribute::dead_connection_timeout, seconds,
                             deadline);
}

NetlinkResult Netlink::add_connection(std::uint32_t index, const std::string& identifier,
                                      std::shared_ptr<const std::vector<FileDescriptor>> sockets,
                                      Deadline deadline) {
  ENSURE(sockets && sockets->size() == 1);
  const auto call = [channel = state_->channel, index, identifier, sockets = std::move(sockets)] {
    return channel->exchange(Command::reconfigure, [&](nl_msg* message) {
      put_index(message, index);
      put_identifier(message, identifier);
      put_sockets(message, *sockets);
    });
  };
  return state_->run(call, deadline);
}

NetlinkResult Netlink::disconnect(std::uint32_t index, Deadline deadline) {
  const auto call = [channel = state_->channel, index] {
    return channel->exchange(Command::disconnect,
                             [index](nl_msg* message) { put_index(message, index); });
  };
  return state_->run(call, deadline);
}

FileDescriptor open_netlink_socket() {
  FileDescriptor opened(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;  // and a number of the kernel's choice
  const auto* const plain = reinterpret_cast<const sockaddr*>(&address);
  if (!opened.is_open() || ::bind(opened.get(), plain, sizeof address) != 0) {
    fail_errno(FailureKind::cannot_attach, "a socket for generic netlink");
  }
  return opened;
}

std::vector<std::byte> connect_attributes(const ConnectRequest& request) {
  const Message message = new_message();
  nlmsghdr* const header = nlmsg_put(message.get(), 0, 0, 0, 0, 0);
  ENSURE(header);
  put_connect(message.get(), request);
  const auto* const begin = static_cast<const std::byte*>(nlmsg_data(header));
  return std::vector<std::byte>(begin, begin + nlmsg_datalen(header));
}

}  // namespace nbdring
