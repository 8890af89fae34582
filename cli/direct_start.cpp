// How a DirectEngine comes to its device: by attaching it, or from another engine.

#include <thread>
#include <utility>

#include "cli/direct_engine.hpp"
#include "cli/patience.hpp"
#include "cli/shelter.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"
#include "kernel/receivers.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

constexpr unsigned connect_tries = 3;  // see driver_front.cpp

DeviceRecord record_of(const DeviceSettings& settings, const Export& about,
                       const Attachment& attachment) {
  DeviceRecord record = new_record(settings, about, attachment);
  record.kernel_path = true;
  record.server_flags = about.transmission_flags;
  return record;
}

// As far as a record tells: names and descriptions are the former engine's.
Export attached_of(const DeviceRecord& record) {
  Export attached;
  attached.size = record.size;
  attached.transmission_flags = record.server_flags;
  attached.block_size.minimum = record.block_size;
  return attached;
}

std::uint64_t queue_number(std::uint32_t index, const char* name) {
  return std::strtoull(Sysfs().queue_value(index, name).value_or("0").c_str(), nullptr, 10);
}

// Nobody stands between the driver and the server: what the driver may send must be what this
// server takes. A number that is used again may have kept limits of its former export.
void check_limits(const Attachment& attachment, const Export& about) {
  const std::uint32_t index = attachment.index();
  const bool takes_zeroes = about.is_read_only() || about.has(nbd::flag_send_write_zeroes);
  if (!takes_zeroes && queue_number(index, "write_zeroes_max_bytes") > 0) {
    throw Failure(FailureKind::failed,
                  attachment.path() +
                      " keeps WRITE_ZEROES from a former export, and this server has none: choose "
                      "another device, or --path auto");
  }
  if (queue_number(index, "max_sectors_kb") * 1024 > about.block_size.maximum) {
    throw Failure(FailureKind::failed, attachment.path() + " did not take the server's limit of " +
                                           std::to_string(about.block_size.maximum) +
                                           " bytes: say --path auto");
  }
}

std::vector<FileDescriptor> duplicates_of(const std::vector<DirectConnection>& connections) {
  std::vector<FileDescriptor> copies;
  for (const auto& connection : connections) copies.push_back(duplicate(connection.socket.get()));
  return copies;
}

std::vector<FileDescriptor> sockets_of(std::vector<DirectConnection> connections) {
  std::vector<FileDescriptor> sockets;
  for (auto& connection : connections) sockets.push_back(std::move(connection.socket));
  return sockets;
}

// Several where the server allows it, and as many as were asked for or none.
unsigned connections_for(const Wanted& wanted, const Export& about, unsigned usual) {
  const bool takes_several = about.has(nbd::flag_can_multi_conn);
  const auto& asked = wanted.command.connections;
  if (!takes_several && asked.value_or(1) > 1) {
    throw Failure(FailureKind::failed,
                  "the server takes one connection only (no multi-conn), and --path kernel needs "
                  "one for each of -c " +
                      std::to_string(*asked) + ": leave -c out, or say --path auto");
  }
  return takes_several ? usual : 1;
}

}  // namespace

DirectEngine::DirectEngine(Parts parts)
    : parts_(std::move(parts)),
      source_(parts_.wanted.spec.form, parts_.log),
      front_({loop_, parts_.link, parts_.signals, !parts_.wanted.command.root_device, parts_.log},
             *this) {
  if (!parts_.former && !dial_first()) return;
  // Before the driver's connections are made: see shelter.hpp.
  stay_in_memory(parts_.log);
  DirectStart start = parts_.former ? take_over() : attach();
  start.bounds_log = parts_.wanted.bounds_log;
  device_.emplace(loop_, source_, std::move(start), parts_.folder, parts_.link,
                  static_cast<DeviceOwner&>(*this), parts_.log);
}

// False: told to end while it waited for the server.
bool DirectEngine::dial_first() {
  Patience patience;
  patience.open = [this] { loop_.run(dial(1)); };
  patience.tell = [this](const std::string& why) { parts_.link.notify("STATUS=waiting: " + why); };
  patience.stop_fd = parts_.signals.fd();
  if (parts_.wanted.command.wait) return open_when_reachable(patience, parts_.log);
  patience.open();
  return true;
}

Task<void> DirectEngine::dial(std::size_t connections) {
  while (dialled_.size() < connections) {
    co_await dial_one();
  }
}

Task<void> DirectEngine::dial_one() {
  DirectConnection connection = co_await source_.dial(loop_);
  dialled_.push_back(std::move(connection));
}

DirectStart DirectEngine::attach() {
  const Wanted& wanted = parts_.wanted;
  // How the end of a replacement is told from its failure (kernel/slots.hpp).
  if (!running_receivers(0)) {
    throw Failure(FailureKind::cannot_attach,
                  "--path kernel must see the kernel's threads, which this container hides: say "
                  "--path auto");
  }
  DirectStart start;
  start.is_new = true;
  start.attached = for_driver(dialled_.front().about, wanted.command.read_only);
  DeviceSettings settings = device_settings(wanted, start.attached, std::nullopt);
  settings.driver.connections =
      connections_for(wanted, start.attached, settings.driver.connections);
  for (unsigned tries_left = connect_tries; !start.attachment;) {
    loop_.run(dial(settings.driver.connections));
    auto attachment = std::make_unique<Attachment>(start.attached, settings.driver, parts_.log,
                                                   parts_.link.netlink());
    attachment->give_sockets(duplicates_of(dialled_));
    try {
      attachment->connect(attach_wait);
      start.attachment = std::move(attachment);
    } catch (const ConnectAgain&) {
      if (--tries_left == 0) throw;
      dialled_.clear();
    }
  }
  check_limits(*start.attachment, start.attached);
  start.record = record_of(settings, start.attached, *start.attachment);
  start.connections = sockets_of(std::move(dialled_));
  return start;
}

// The connections are the driver's, and live or have ended whatever became of the engine.
DirectStart DirectEngine::take_over() {
  const DeviceRecord& former = parts_.former->record;
  DirectStart start;
  start.record = former;
  start.record.recovering = false;
  start.attached = attached_of(former);
  start.connections = std::move(parts_.connections);
  if (start.connections.empty()) {
    start.connections = DirectLinks::find(parts_.link, former.connections);
  }
  if (start.connections.size() != former.connections) {
    throw Failure(FailureKind::failed,
                  "nobody has the connections of " + former.device() +
                      " any more, so that none can be replaced; it works until one ends: detach it "
                      "and attach it again");
  }
  const DeviceSettings settings = device_settings(parts_.wanted, start.attached, former);
  start.attachment = std::make_unique<Attachment>(start.attached, settings.driver, parts_.log,
                                                  parts_.link.netlink());
  if (!parts_.connections.empty() || parts_.former->is_alive) parts_.link.send("taking");
  start.attachment->take_over(former.index, former.fresh);
  return start;
}

}  // namespace nbdring
