#pragma once
// The command line between its grammar (options.cpp, CLI11) and its meaning (options_commands.cpp,
// options_*.cpp): words, sorted by the option that they were given to.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cli/options.hpp"

namespace nbdring {

/// Long options and positionals are the keys: "--connections", "BACKEND".
struct CommandWords {
  std::string command;                                    // "attach"
  std::map<std::string, std::string> values;              // its value; empty: not given
  std::map<std::string, std::vector<std::string>> lists;  // the same for repeatable options
  std::map<std::string, bool> flags;
  std::set<std::string> given;  // what stood there

  bool has(const std::string& name) const { return given.count(name) > 0; }
  /// The value as a number; `otherwise` where it was not given. Throws Failure (usage).
  std::uint64_t number(const std::string& name, std::uint64_t least, std::uint64_t most,
                       std::uint64_t otherwise) const;
  /// Failure (usage) "COMMAND: no NAME given; say WHAT".
  std::string positional(const std::string& name, const std::string& what) const;
};

/// What the words mean, checked. Throws Failure (usage).
Invocation invocation_of(const CommandWords& words);

/// --tls-psk, --tls-certificates, --tls-verify-peer, --tls-priority and --tls of one who serves.
TlsSettings server_tls_of(const CommandWords& words);

/// --tls and its kin, towards a remote backend.
TlsOptions remote_tls_of(const CommandWords& words);

// In options_gateway.cpp.
GatewayCommand gateway_of(const CommandWords& words);
ProxyCommand proxy_of(const CommandWords& words);

// In options_bench.cpp.
BenchCommand bench_of(const CommandWords& words);

// In options_token.cpp.
TokenCommand token_of(const CommandWords& words);

}  // namespace nbdring
