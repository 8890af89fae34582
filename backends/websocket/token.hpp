#pragma once
// A one-time token as its holder has it: "id:secret". The id is 16 hexadecimal digits, public and
// without meaning; the secret is 256 random bits in base64url. As a websocket's subprotocol it is
// "nbd.token.ID.SECRET", in a link's fragment "#t=ID.SECRET": ':' may stand in neither.

#include <optional>
#include <string>
#include <string_view>

#include "client/transport/tls_seal.hpp"

namespace nbdring {

struct Token {
  std::string id;
  Secret secret;

  /// A new one. Throws Failure when there are no random bytes.
  static Token random();

  /// The text that its holder gets; '.' instead of ':' where ':' may not stand.
  std::string text(char between = ':') const;
};

/// Nothing for what random() would not have made.
std::optional<Token> parse_token(std::string_view text);

/// 16 lower-case hexadecimal digits.
bool is_token_id(std::string_view text);

}  // namespace nbdring
