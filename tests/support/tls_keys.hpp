#pragma once
// Keys for tests of TLS: a folder with a PSK file and certificates, made by GnuTLS's own certtool
// and removed at the end. Needs certtool.

#include <string>
#include <string_view>

#include "client/transport/tls.hpp"

namespace nbdring {

class TlsKeys {
 public:
  TlsKeys();
  ~TlsKeys();
  TlsKeys(const TlsKeys&) = delete;
  TlsKeys& operator=(const TlsKeys&) = delete;

  std::string path(std::string_view name) const { return folder_ + "/" + std::string(name); }

  /// Writes a file, mode 0600.
  std::string write(const std::string& name, std::string_view content) const;
  void make_folder(const std::string& name) const;
  void copy(const std::string& from, const std::string& to) const;

  /// In `folder`: ca-cert.pem and ca-key.pem of a new CA.
  void make_authority(const std::string& folder, const std::string& name) const;
  /// In `folder`: STEM-cert.pem and STEM-key.pem, signed by the CA of folder `signer`. lines: of
  /// certtool's template.
  void make_certificate(const std::string& folder, const std::string& stem,
                        const std::string& signer, std::string_view lines) const;
  /// In `folder`: ca-crl.pem of its CA, with the certificate of that stem in it.
  void revoke(const std::string& folder, const std::string& stem) const;

 private:
  void run(const std::string& command) const;

  std::string folder_;
};

}  // namespace nbdring
