#include "tests/support/tls_keys.hpp"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace files = std::filesystem;

TlsKeys::TlsKeys() : folder_(files::temp_directory_path() / "nbdring-keys-XXXXXX") {
  ENSURE(::mkdtemp(folder_.data()) != nullptr);
}

TlsKeys::~TlsKeys() { files::remove_all(folder_); }

std::string TlsKeys::write(const std::string& name, std::string_view content) const {
  // A file of its own each time, as an administrator's tools do it: the reader sees another inode.
  const std::string final_path = path(name);
  const std::string new_path = final_path + ".new";
  std::ofstream(new_path) << content;
  files::permissions(new_path, files::perms::owner_read | files::perms::owner_write);
  files::rename(new_path, final_path);
  return final_path;
}

void TlsKeys::make_folder(const std::string& name) const { files::create_directories(path(name)); }

void TlsKeys::copy(const std::string& from, const std::string& to) const {
  files::copy_file(path(from), path(to), files::copy_options::overwrite_existing);
}

void TlsKeys::run(const std::string& command) const {
  const std::string quiet = "umask 077; " + command + " >/dev/null 2>'" + path("error") + "'";
  ENSURE(std::system(quiet.c_str()) == 0);
}

void TlsKeys::make_authority(const std::string& folder, const std::string& name) const {
  make_folder(folder);
  write(folder + "/template", "cn=" + name + "\nca\ncert_signing_key\ncrl_signing_key\n");
  const std::string in = path(folder);
  run("certtool --generate-privkey --key-type ecdsa --outfile " + in + "/ca-key.pem");
  run("certtool --generate-self-signed --load-privkey " + in + "/ca-key.pem --template " + in +
      "/template --outfile " + in + "/ca-cert.pem");
}

void TlsKeys::make_certificate(const std::string& folder, const std::string& stem,
                               const std::string& signer, std::string_view lines) const {
  make_folder(folder);
  write(folder + "/template", lines);
  const std::string in = path(folder) + "/";
  run("certtool --generate-privkey --key-type ecdsa --outfile " + in + stem + "-key.pem");
  run("certtool --generate-certificate --load-privkey " + in + stem +
      "-key.pem --load-ca-privkey " + path(signer) + "/ca-key.pem --load-ca-certificate " +
      path(signer) + "/ca-cert.pem --template " + in + "template --outfile " + in + stem +
      "-cert.pem");
}

void TlsKeys::revoke(const std::string& folder, const std::string& stem) const {
  write(folder + "/template", "expiration_days=365\ncrl_number=1\n");
  const std::string in = path(folder) + "/";
  run("certtool --generate-crl --load-ca-privkey " + in + "ca-key.pem --load-ca-certificate " + in +
      "ca-cert.pem --load-certificate " + in + stem + "-cert.pem --template " + in +
      "template --outfile " + in + "ca-crl.pem");
}

}  // namespace nbdring
