#include "kernel/node.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "kernel/spawn.hpp"
#include "kernel/worker.hpp"

namespace nbdring {
namespace {

std::string number_of(dev_t device) {
  return std::to_string(major(device)) + ":" + std::to_string(minor(device));
}

bool is_node(const std::string& path, const std::string& number) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 && S_ISBLK(about.st_mode) &&
         number_of(about.st_rdev) == number;
}

}  // namespace

std::string node_path(std::uint32_t index) { return "/dev/" + device_name(index); }

void wait_for_node(std::uint32_t index, const Sysfs& sysfs, Deadline deadline) {
  const std::string path = node_path(index);
  std::string number;
  const auto is_there = [&] {
    const auto device = sysfs.device(index);
    number = device ? device->number : "";
    return device && is_node(path, number);
  };
  if (wait_until(is_there, deadline)) return;
  const std::string numbers =
      number.empty() ? "?" : std::string(number).replace(number.find(':'), 1, " ");
  throw Failure(FailureKind::cannot_attach,
                path +
                    " did not appear: is /dev a devtmpfs? In a container, attach on the host or "
                    "run 'mknod " +
                    path + " b " + numbers + "'");
}

int open_first(std::uint32_t index, Deadline deadline) {
  Worker worker;  // of its own: an open that hangs keeps it
  const auto open_and_close = [path = node_path(index)] {
    // O_NONBLOCK spares nothing: the scan is done inside the open in any case.
    const FileDescriptor node(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return node.is_open() ? 0 : errno;
  };
  return worker.call<int>(open_and_close, deadline).value_or(ETIMEDOUT);
}

void settle_udev(Deadline deadline, Log& log) {
  if (::access("/run/udev/control", F_OK) != 0) return;
  // udevadm counts in whole seconds; the deadline is the finer one.
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(deadline.remaining()).count();
  const CommandResult result =
      run_command({"udevadm", "settle", "--timeout=" + std::to_string(seconds)}, deadline);
  if (!result.succeeded()) log.debug("udev is still busy", {{"udevadm", result.words()}});
}

}  // namespace nbdring
