#pragma once
// The texts of help.cpp that stand in files of their own.

#include <string_view>

/// The options of whoever opens a remote backend. A macro, for only literals grow together.
#define NBDRING_REMOTE_TLS_HELP                                                        \
  "      --tls POLICY         of a remote backend: off, allow or require (default:\n"  \
  "                           off; require with nbds://, which cannot be lowered)\n"   \
  "      --tls-psk-file FILE  keys, as psktool writes them: USER:HEXKEY; the user\n"   \
  "                           is the URI's, or else yours\n"                           \
  "      --tls-certificates DIR\n"                                                     \
  "                           ca-cert.pem, ca-crl.pem, client-cert.pem,\n"             \
  "                           client-key.pem (default: the system's authorities)\n"    \
  "      --tls-hostname NAME  whom the server's certificate must name (default: the\n" \
  "                           URI's host)\n"                                           \
  "      --tls-verify-peer B  0: do not check the server's certificate (default: 1)\n" \
  "      --tls-priority TEXT  GnuTLS's priority string, instead of ours\n"

namespace nbdring {

extern const std::string_view gateway_help;
extern const std::string_view resize_help;
extern const std::string_view upgrade_help;
extern const std::string_view proxy_help;
extern const std::string_view token_help;
extern const std::string_view bench_help;
extern const std::string_view nbd_client_help;

}  // namespace nbdring
