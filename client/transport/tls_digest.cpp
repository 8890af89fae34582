#include "client/transport/tls_digest.hpp"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <array>
#include <new>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t sha1_bytes = 20;

}  // namespace

std::string to_base64(std::span<const std::byte> bytes) {
  gnutls_datum_t in{
      const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data())),
      static_cast<unsigned>(bytes.size())};
  gnutls_datum_t out{nullptr, 0};
  // It fails for want of memory only.
  if (gnutls_base64_encode2(&in, &out) != GNUTLS_E_SUCCESS) throw std::bad_alloc();
  std::string text(reinterpret_cast<const char*>(out.data), out.size);
  gnutls_free(out.data);
  return text;
}

std::string sha1_base64(std::string_view text) {
  std::array<std::byte, sha1_bytes> digest;
  const int result = gnutls_hash_fast(GNUTLS_DIG_SHA1, text.data(), text.size(), digest.data());
  if (result != GNUTLS_E_SUCCESS) {
    throw Failure(FailureKind::failed,
                  std::string("cannot make a SHA-1 digest: ") + gnutls_strerror(result));
  }
  return to_base64(digest);
}

void fill_unpredictable(std::span<std::byte> bytes) {
  const int result = gnutls_rnd(GNUTLS_RND_NONCE, bytes.data(), bytes.size());
  if (result == GNUTLS_E_SUCCESS) return;
  throw Failure(FailureKind::failed,
                std::string("cannot get random bytes: ") + gnutls_strerror(result));
}

}  // namespace nbdring
