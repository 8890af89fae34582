#pragma once
// Pre-shared keys from psktool's file: a line "user:hexkey" each. Empty lines and lines that begin
// with # are skipped.
//
// Shared by all connections; any thread. Handshakes ask for keys, so the lock in here is never met
// on the data path. The file is read again when it has changed: keys can be added, replaced and
// withdrawn while connections come and go (who is connected already stays).

#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "client/transport/tls_secret.hpp"

namespace nbdring {

/// GnuTLS 3.7 takes no longer ones.
inline constexpr std::size_t psk_user_bytes_max = 128;

/// Decodes hexadecimal digits, two a byte. Nothing: not hexadecimal, or empty.
std::optional<SecretBytes> decode_hex(std::string_view digits);

class PskFile {
 public:
  /// Throws Failure as read_secret_file(), or (usage) with the line that is none.
  explicit PskFile(const std::string& path);

  /// The user's key, or nothing when the file, as it is now, has no such user. Throws as the
  /// constructor when the file has changed into one that cannot be used.
  std::optional<SecretBytes> key_of(std::string_view user);

  const std::string& path() const { return path_; }

 private:
  void read_again();
  void check_lines(const SecretFile& file) const;

  std::string path_;
  std::mutex reading_;  // guards what follows
  SecretFile file_;
};

}  // namespace nbdring
