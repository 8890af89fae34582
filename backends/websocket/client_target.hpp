#pragma once
// What a ws: or wss: URI means to HTTP. Pure.

#include <string>

#include "client/protocol/uri.hpp"

namespace nbdring {

struct ClientTarget {
  Uri server;             // nbd: with the host and the port, 80 or 443 where none is named
  std::string authority;  // for Host: without the scheme's own port, and without an IPv6 zone
  std::string target;     // path and query, encoded, without the parameters that are ours
  std::string text;       // for messages: the URI without parameters that are ours
  std::string token_file;
};

ClientTarget client_target_of(const Uri& uri);

}  // namespace nbdring
