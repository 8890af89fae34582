#pragma once
// The tab as systemd units, below the folder that systemd gives its generators. For an entry NAME:
//
//   nbdring@NAME.service.d/50-tab.conf   what its backend needs and when, its time to start
//   remote-fs.target.wants/nbdring@NAME.service, or local-fs.target.wants: at boot
//   DEVICE.device.d/50-nbdring.conf      of /dev/disk/by-nbd/NAME and its partitions: who waits for
//                                        the device has the service started
//
// Order. What needs the network comes after it and before all mounts with _netdev, so at shutdown
// these are unmounted first, then the device ends, then the network. A local file's device comes
// after the file system below it. With nofail nothing waits for the device but who names it:
// x-systemd.requires=nbdring@NAME.service in fstab. An entry of the initramfs has no unit: its
// engine is there before systemd, and stays until after it.

#include <map>
#include <string>

#include "cli/tab.hpp"

namespace nbdring {

/// The files by name, below the folder. Links are texts that begin with '/'. Pure.
std::map<std::string, std::string> units_of(const Tab& tab, const std::string& tab_path);

/// Writes them. Throws Failure (failed).
void generate_units(const Tab& tab, const std::string& tab_path, const std::string& folder);

/// systemd's name for a path: "/dev/disk/by-nbd/a-b" is "dev-disk-by\x2dnbd-a\x2db".
std::string escaped_path(const std::string& path);

}  // namespace nbdring
