#include "cli/commands.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

int run_gateway(const GatewayCommand&, const CommonOptions&) {
  throw Failure(FailureKind::failed, "gateway: not in this version");
}

int run_proxy(const ProxyCommand&, const CommonOptions&) {
  throw Failure(FailureKind::failed, "proxy: not in this version");
}

}  // namespace nbdring
