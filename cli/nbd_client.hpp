#pragma once
// Called as nbd-client: its command line (nbd-client(8), release 3.24), done by our engine.
//
// The grammar is getopt_long_only()'s, as there: options with one dash or two, shortened as far as
// they stay clear, and between the others. Of the options that mean nothing here one line says so.
//
// What differs, and why:
//   -d  refuses a device that is in use, and writes out what is not written yet
//   -t  seconds that I/O waits for the server before it fails (attach's --recovery-window): there
//       it was the driver's timeout, with the same end for whoever waits
//   -T  the same as -t; nbd-client 3.24 has no -T, scripts for others have
//   -n  stays in the foreground together with -L only, which is what nbd-client does
//   -P  and -S are refused: no server without a handshake, no Sockets Direct Protocol

#include <string>
#include <vector>

#include "cli/nbd_client_device.hpp"
#include "cli/options.hpp"

namespace nbdring {

/// arguments[0] is the program's name. A command line that is not understood is a Failure of the
/// kind `failed`, for nbd-client's exit code is 1 then. Main thread: getopt() has a state.
AnyCommand parse_nbd_client(const std::vector<std::string>& arguments);

/// Whether a program of this name is nbd-client.
bool is_nbd_client(const std::string& program);

/// 0, or of -c 1 where the device is not connected and 2 where that cannot be known. Throws Failure
/// (failed) for everything else: exit code 1.
int run_nbd_client(const NbdClientCommand& command, const CommonOptions& common);

}  // namespace nbdring
