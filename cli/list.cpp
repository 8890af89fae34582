// nbdring list: every device of this machine that nbdring attached. A script's list has no head
// where it has no rows.

#include "cli/commands.hpp"
#include "cli/report.hpp"
#include "cli/state.hpp"

namespace nbdring {

int run_list(const ListCommand& command, const CommonOptions&) {
  const auto devices = RunFolder().devices();
  print(command.json ? list_json(devices) : list_table(devices));
  return 0;
}

}  // namespace nbdring
