#pragma once
// Sealing: what only the holder of a secret can read, and nobody can change unnoticed. GnuTLS's
// AEAD (ChaCha20-Poly1305, RFC 8439: the same speed with and without AES in the CPU, and every
// GnuTLS has it) under keys from HKDF-SHA256 (RFC 5869).
//
// A secret is 256 bits at random, made here, never a word that somebody thought of. So there is
// nothing to guess, and no slow derivation (scrypt, Argon2): that would only let strangers who try
// wrong secrets burn our CPU. Each sealing takes a salt of its own, and key and nonce both come
// from secret and salt: a pair of key and nonce is never used twice.
//
// Any thread. What is secret is wiped when it goes.

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nbdring {

inline constexpr std::size_t secret_bytes = 32;
inline constexpr std::size_t seal_salt_bytes = 32;
inline constexpr std::size_t seal_tag_bytes = 16;
/// What a sealed text is longer than the text: salt in front, tag at the end.
inline constexpr std::size_t seal_overhead_bytes = seal_salt_bytes + seal_tag_bytes;

/// 256 random bits, wiped at the end.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::span<const std::byte, secret_bytes> bytes);
  ~Secret();
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;

  /// A new one from the system's generator. Throws Failure when there is none to be had.
  static Secret random();

  std::span<const std::byte, secret_bytes> bytes() const { return bytes_; }
  std::span<std::byte, secret_bytes> bytes() { return bytes_; }

 private:
  std::array<std::byte, secret_bytes> bytes_{};
};

/// Random bytes that may be seen by anybody: salts, ids. Throws Failure.
void fill_with_random_bytes(std::span<std::byte> bytes);

/// salt | ciphertext | tag. purpose: what the key is for, so that a secret serves several;
/// bound_to: stands beside it in the clear, and opening fails when it has been changed.
std::vector<std::byte> seal(const Secret& secret, std::string_view purpose,
                            std::string_view bound_to, std::span<const std::byte> text);

/// The text; nothing when the secret, the purpose, bound_to or the sealed bytes are not those of
/// the sealing. Does the same work either way. Who holds the text wipes it.
std::optional<std::vector<std::byte>> open_sealed(const Secret& secret, std::string_view purpose,
                                                  std::string_view bound_to,
                                                  std::span<const std::byte> sealed);

/// In a time that depends on the lengths only.
bool is_same_secret(std::string_view left, std::string_view right);

/// Overwrites with zeroes, and the compiler leaves it in.
void wipe(std::span<std::byte> bytes);
void wipe(std::string& text);

/// base64url without padding (RFC 4648). Decoding is strict: nothing for what encode_base64url()
/// would not have written.
std::string encode_base64url(std::span<const std::byte> bytes);
std::optional<std::vector<std::byte>> decode_base64url(std::string_view text);

}  // namespace nbdring
