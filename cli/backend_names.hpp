#pragma once
// Names for backends: where a backend is taken, a bare NAME may stand for another text.
//
//     NBDRING_ROUTES="disk1 nbd://host/disk1;spare disk1"      the environment, asked first
//     [aliases]                                                the configuration file (config.hpp)
//     disk1 = "nbds://alice@host/disk1"
//
// A name is not empty, has no '/', ':' or ';', no white space and no control character, and begins
// with neither '.' nor '-'. A name that is no alias is a PATH; where both an alias and a file
// exist, the alias is meant, and the file is written ./NAME. What an alias stands for is taken as
// if it had been typed: it may be an alias again, 8 deep.
//
// Constant once made.

#include <map>
#include <string>
#include <string_view>

namespace nbdring {

struct Alias {
  std::string target;
  std::string origin;  // for messages: "NBDRING_ROUTES", or FILE:LINE
};

using Aliases = std::map<std::string, Alias, std::less<>>;

bool is_backend_name(std::string_view text);

/// NBDRING_ROUTES: NAME, white space and what it stands for, which goes on to the next ';' or the
/// end. A ';' inside is written %3B, as a URI may; nothing between two ';' is skipped. Throws
/// Failure (usage): a name without a target, what is no name, a name twice.
Aliases parse_routes(std::string_view text);

struct ResolvedName {
  std::string text;  // what parse_backend_spec() takes
  std::string by;    // "NAME (ORIGIN)" of the last alias, or empty: the argument itself
};

/// Throws Failure (usage) for a circle or more than 8 aliases one behind another; the text shows
/// the way.
ResolvedName resolve_backend_name(const std::string& argument, const Aliases& aliases);

}  // namespace nbdring
