#pragma once
// What sysfs says about the driver's devices, and the settings that it takes. The truth is here and
// not in netlink's STATUS, which calls a device connected when somebody merely has it open, and
// when all of its sockets are dead.
//
// Plain reads of small files; never blocks on a device, except for the settings of a queue, which
// wait until its requests have been answered. Every function takes the folder that stands for "/",
// so that unit tests have their own.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nbdring {

/// A device of the driver, as sysfs shows it at one moment.
struct DriverDevice {
  std::uint32_t index = 0;
  bool attached = false;   // has a server: the file `pid` exists just then
  int thread = 0;          // the thread that sent CONNECT, which need not live any more
  std::string backend;     // the backend identifier of CONNECT; empty where none was given
  std::uint64_t size = 0;  // bytes, a multiple of 512
  bool read_only = false;
  std::string number;  // "43:0"
};

/// "nbd7".
std::string device_name(std::uint32_t index);

/// The index in "nbd7", "/dev/nbd7" or "7"; none for anything else (a partition, another device, a
/// number too large).
std::optional<std::uint32_t> device_index(const std::string& text);

class Sysfs {
 public:
  explicit Sysfs(std::string root = "") : root_(std::move(root)) {}

  const std::string& root() const { return root_; }

  /// /sys/block/nbdN, with the root in front.
  std::string device_folder(std::uint32_t index) const;

  std::optional<DriverDevice> device(std::uint32_t index) const;
  bool exists(std::uint32_t index) const;
  bool is_attached(std::uint32_t index) const;

  /// Requests that the driver has and has not answered; 0 where there is no such device. Those that
  /// are about to be sent again are not counted.
  std::uint64_t in_flight(std::uint32_t index) const;

  /// Ascending.
  std::vector<std::uint32_t> device_indexes() const;
  std::vector<std::uint32_t> attached_indexes() const;

  /// The device's name and those of its partitions, with their numbers: {"nbd0", "43:0"},
  /// {"nbd0p1", "43:1"}.
  struct Part {
    std::string name;
    std::string number;
  };
  std::vector<Part> parts(std::uint32_t index) const;

  /// A value of /sys/block/nbdN/queue. In "none [mq-deadline]" the one in brackets.
  std::optional<std::string> queue_value(std::uint32_t index, const std::string& name) const;
  /// 0, or the errno of a setting that the kernel refused.
  int set_queue_value(std::uint32_t index, const std::string& name, const std::string& value) const;

  /// Tells udev that the device has changed. A device that is gone meanwhile is no failure.
  void announce_change(std::uint32_t index) const;

  /// The first line of a file, without the newline. None where it cannot be read.
  std::optional<std::string> line(const std::string& path) const;
  /// A parameter of the module, as the kernel shows it.
  std::optional<std::uint64_t> module_parameter(const std::string& name) const;

 private:
  std::string root_;
};

}  // namespace nbdring
