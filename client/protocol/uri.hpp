#pragma once
// URIs: RFC 3986 taken apart and decoded, for NBD URIs (NetworkBlockDevice/nbd, doc/uri.md) and
// those that we add.
//
//     nbds://alice@[2001:db8::1]:10809/export?tls-psk-file=/etc/keys.psk
//     scheme user      host      port  path   parameters
//
// %XX is decoded in every part, after the parts were taken apart. '+' is a plain character. The
// parameters are separated by '&' or ';'; an empty section and a section without a name are
// skipped; "name" and "name=" are the empty value. There are no fragments: a '#' that belongs to a
// value is written %23. NUL is refused, but at the front of `socket`, where it names an abstract
// Unix socket. What a scheme means and demands is backend_spec.hpp's.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nbdring {

struct Uri {
  std::string scheme;          // lower case
  bool has_authority = false;  // "//" was there, maybe with nothing behind it
  std::optional<std::string> user;
  std::string host;                   // an IPv6 address without its brackets
  std::optional<std::uint32_t> port;  // 1 to 65535, for vsock to 2^32 - 1
  std::string path;                   // with its leading '/'
  std::vector<std::pair<std::string, std::string>> parameters;  // in their order

  /// The value of the first parameter of this name.
  std::optional<std::string_view> parameter(std::string_view name) const;
  /// The parameter `name`, or else the path without one leading '/'.
  std::string_view export_name() const;

  friend bool operator==(const Uri&, const Uri&) = default;
};

/// Throws Failure (usage) that says which part is wrong, and its value.
Uri parse_uri(std::string_view text);

/// The canonical form: parse_uri() reads the same Uri from it.
std::string to_text(const Uri& uri);

/// The scheme in front of the first ':', in lower case; nothing where no scheme can be.
std::optional<std::string> scheme_of(std::string_view text);

}  // namespace nbdring
