#include "client/transport/tls_seal.hpp"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#include <algorithm>
#include <memory>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t key_bytes = 32;
constexpr std::size_t nonce_bytes = 12;
constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void expect(int result, const char* what) {
  if (result >= 0) return;
  throw Failure(FailureKind::failed, std::string(what) + ": " + gnutls_strerror(result));
}

gnutls_datum_t datum(const void* data, std::size_t size) {
  // GnuTLS takes what it only reads as if it wrote it.
  return {static_cast<unsigned char*>(const_cast<void*>(data)), static_cast<unsigned>(size)};
}

// Key and nonce of one sealing.
struct Derived {
  std::array<std::byte, key_bytes + nonce_bytes> bytes{};

  Derived(const Secret& secret, std::string_view purpose, std::span<const std::byte> salt) {
    std::array<std::byte, 32> extracted{};
    const auto from = datum(secret.bytes().data(), secret.bytes().size());
    const auto salted = datum(salt.data(), salt.size());
    const auto prk = datum(extracted.data(), extracted.size());
    const auto info = datum(purpose.data(), purpose.size());
    expect(gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &from, &salted, extracted.data()),
           "cannot derive a key");
    const int expanded =
        gnutls_hkdf_expand(GNUTLS_MAC_SHA256, &prk, &info, bytes.data(), bytes.size());
    wipe(extracted);
    expect(expanded, "cannot derive a key");
  }
  ~Derived() { wipe(bytes); }
  Derived(const Derived&) = delete;
  Derived& operator=(const Derived&) = delete;

  const std::byte* nonce() const { return bytes.data() + key_bytes; }
};

class Cipher {
 public:
  explicit Cipher(const Derived& derived) {
    const auto key = datum(derived.bytes.data(), key_bytes);
    expect(gnutls_aead_cipher_init(&handle_, GNUTLS_CIPHER_CHACHA20_POLY1305, &key),
           "cannot start ChaCha20-Poly1305");
  }
  ~Cipher() { gnutls_aead_cipher_deinit(handle_); }
  Cipher(const Cipher&) = delete;
  Cipher& operator=(const Cipher&) = delete;

  gnutls_aead_cipher_hd_t get() const { return handle_; }

 private:
  gnutls_aead_cipher_hd_t handle_ = nullptr;
};

std::optional<unsigned> sextet_of(char c) {
  const std::size_t at = alphabet.find(c);
  return at != std::string_view::npos ? std::optional(static_cast<unsigned>(at)) : std::nullopt;
}

}  // namespace

Secret::Secret(std::span<const std::byte, secret_bytes> bytes) {
  std::copy(bytes.begin(), bytes.end(), bytes_.begin());
}

Secret::~Secret() { wipe(bytes_); }

Secret Secret::random() {
  Secret made;
  expect(gnutls_rnd(GNUTLS_RND_KEY, made.bytes_.data(), made.bytes_.size()),
         "the system gives no random bytes");
  return made;
}

void fill_with_random_bytes(std::span<std::byte> bytes) {
  expect(gnutls_rnd(GNUTLS_RND_NONCE, bytes.data(), bytes.size()),
         "the system gives no random bytes");
}

std::vector<std::byte> seal(const Secret& secret, std::string_view purpose,
                            std::string_view bound_to, std::span<const std::byte> text) {
  std::vector<std::byte> sealed(text.size() + seal_overhead_bytes);
  const std::span salt = std::span(sealed).first(seal_salt_bytes);
  fill_with_random_bytes(salt);
  const Derived derived(secret, purpose, salt);
  const Cipher cipher(derived);
  std::size_t room = sealed.size() - seal_salt_bytes;
  expect(gnutls_aead_cipher_encrypt(cipher.get(), derived.nonce(), nonce_bytes, bound_to.data(),
                                    bound_to.size(), seal_tag_bytes, text.data(), text.size(),
                                    sealed.data() + seal_salt_bytes, &room),
         "cannot seal");
  ENSURE(room == sealed.size() - seal_salt_bytes);
  return sealed;
}

std::optional<std::vector<std::byte>> open_sealed(const Secret& secret, std::string_view purpose,
                                                  std::string_view bound_to,
                                                  std::span<const std::byte> sealed) {
  if (sealed.size() < seal_overhead_bytes) return std::nullopt;
  const Derived derived(secret, purpose, sealed.first(seal_salt_bytes));
  const Cipher cipher(derived);
  const auto inner = sealed.subspan(seal_salt_bytes);
  std::vector<std::byte> text(inner.size());
  std::size_t size = text.size();
  const int result = gnutls_aead_cipher_decrypt(cipher.get(), derived.nonce(), nonce_bytes,
                                                bound_to.data(), bound_to.size(), seal_tag_bytes,
                                                inner.data(), inner.size(), text.data(), &size);
  if (result < 0) {
    wipe(text);
    return std::nullopt;
  }
  text.resize(inner.size() - seal_tag_bytes);
  return text;
}

bool is_same_secret(std::string_view left, std::string_view right) {
  return left.size() == right.size() && gnutls_memcmp(left.data(), right.data(), left.size()) == 0;
}

void wipe(std::span<std::byte> bytes) { ::explicit_bzero(bytes.data(), bytes.size()); }

void wipe(std::string& text) {
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

std::string encode_base64url(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve((bytes.size() * 8 + 5) / 6);
  unsigned held = 0;
  int bits = 0;
  for (const std::byte byte : bytes) {
    held = (held << 8 | std::to_integer<unsigned>(byte)) & 0xFFFF;
    for (bits += 8; bits >= 6; bits -= 6) text += alphabet[held >> (bits - 6) & 63];
  }
  if (bits > 0) text += alphabet[held << (6 - bits) & 63];
  return text;
}

std::optional<std::vector<std::byte>> decode_base64url(std::string_view text) {
  std::vector<std::byte> bytes;
  bytes.reserve(text.size() * 6 / 8);
  unsigned held = 0;
  int bits = 0;
  for (const char c : text) {
    const auto sextet = sextet_of(c);
    if (!sextet) return std::nullopt;
    held = (held << 6 | *sextet) & 0xFFFF;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<std::byte>(held >> bits & 0xFF));
  }
  // What is left over is padding: less than a character of it, and all zeroes.
  if (bits >= 6 || (held & ((1U << bits) - 1)) != 0) return std::nullopt;
  return bytes;
}

}  // namespace nbdring
