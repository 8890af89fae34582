#pragma once
// The ways to be let in. Each answers for itself; none of them makes a session.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/websocket/authenticator.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

/// Everybody may have everything. Only where the administrator said --insecure. default_name is
/// what a peer gets that names no configuration.
std::unique_ptr<Authenticator> make_insecure_authenticator(std::string default_name);

/// Holders of a one-time token (token_store.hpp). A token that is used, unknown or wrong is denied
/// with a line at info level, as is one for another configuration than the path names (which is not
/// used up). A token that was made for no configuration in particular is for default_name. Throws
/// Failure when there is a store that cannot be used; that there is none yet is no failure.
std::unique_ptr<Authenticator> make_token_authenticator(const std::string& store,
                                                        std::string default_name, Log& log);

/// Who TLS says the peer is: a user of the PSK file, or a certificate's subject as TlsReport tells
/// it ("CN=alice,O=example").
struct TlsUsers {
  std::map<std::string, std::vector<std::string>> users;  // configuration -> who may have it
  std::string default_name;
};

/// Peers whom TLS has made known, for the configurations that list them. Who names none gets the
/// default one if it lists him, else the only one that does.
std::unique_ptr<Authenticator> make_tls_authenticator(TlsUsers users);

}  // namespace nbdring
