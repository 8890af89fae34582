#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/oracles/websocket_oracle.hpp"

int main(int count, char** arguments) {
  const std::string_view what = count > 1 ? arguments[1] : "";
  if (what == "wslay" && count == 3) {
    return nbdring::compare_with_wslay(std::strtoull(arguments[2], nullptr, 10));
  }
  const bool is_client = what == "echo-client";
  if ((is_client || what == "echo-server") && count == 3) {
    using nbdring::WebsocketRole;
    return nbdring::echo(is_client ? WebsocketRole::client : WebsocketRole::server, arguments[2]);
  }
  std::fprintf(stderr,
               "usage: websocket_oracle wslay SEEDS | echo-client SOCKET | echo-server SOCKET\n");
  return 2;
}
