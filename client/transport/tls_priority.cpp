#include "client/transport/tls_priority.hpp"

#include <sys/auxv.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#endif

namespace nbdring {
namespace {

std::string exchanges(const PriorityWishes& wishes) {
  std::string text = ":-KX-ALL";
  if (wishes.psk) text += ":+ECDHE-PSK:+DHE-PSK";
  if (wishes.certificates) text += ":+ECDHE-ECDSA:+ECDHE-RSA";
  return text;
}

}  // namespace

std::string default_priority(const PriorityWishes& wishes) {
  std::string text = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL";
  text +=
      wishes.cpu_has_aes ? ":+AES-128-GCM:+CHACHA20-POLY1305" : ":+CHACHA20-POLY1305:+AES-128-GCM";
  text += ":+AES-256-GCM";
  text += exchanges(wishes);
  if (wishes.server && wishes.cpu_has_aes) text += ":%SERVER_PRECEDENCE";
  return text;
}

std::string users_priority(const std::string& users, const PriorityWishes& wishes) {
  return users + exchanges(wishes);
}

bool cpu_has_aes() {
#if defined(__x86_64__) || defined(__i386__)
  return __builtin_cpu_supports("aes") != 0 && __builtin_cpu_supports("pclmul") != 0;
#elif defined(__aarch64__)
  return (::getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#else
  return false;
#endif
}

}  // namespace nbdring
