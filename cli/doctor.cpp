#include "cli/commands.hpp"

namespace nbdring {

int run_doctor(const DoctorCommand&, const CommonOptions&) { return 0; }

}  // namespace nbdring
