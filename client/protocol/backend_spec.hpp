#pragma once
// The first argument of every command: which backend (interface.md, "Backends"). Text in, checked
// structs out; nothing is opened and no name is looked up.
//
// What does not begin with one of our schemes and a ':' is a PATH, taken as it is: no %XX, no
// parameters. So a file in the current directory whose name looks like one of the other forms is
// written ./NAME.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "client/protocol/uri.hpp"

namespace nbdring {

/// PATH or file:PATH
struct FileSpec {
  enum class Cache { writeback, none };

  std::string path;
  Cache cache = Cache::writeback;
  std::uint64_t offset = 0;                          // bytes
  std::optional<std::uint64_t> size = std::nullopt;  // bytes, more than 0; none: to the end
  bool read_only = false;

  friend bool operator==(const FileSpec&, const FileSpec&) = default;
};

/// memory:SIZE
struct MemorySpec {
  std::uint64_t size = 0;  // bytes, more than 0

  friend bool operator==(const MemorySpec&, const MemorySpec&) = default;
};

/// null:SIZE
struct NullSpec {
  std::uint64_t size = 0;  // bytes, more than 0

  friend bool operator==(const NullSpec&, const NullSpec&) = default;
};

/// nbd: and its kin, ws:, wss:. The parts that the scheme demands are there, those that it cannot
/// have are not. libvirt's nbd+tcp: is nbd:, nbd+tls: and nbds+tcp: are nbds:.
struct UriSpec {
  Uri uri;

  friend bool operator==(const UriSpec&, const UriSpec&) = default;
};

/// exec:CMD
struct ExecSpec {
  std::string command;

  friend bool operator==(const ExecSpec&, const ExecSpec&) = default;
};

using BackendForm = std::variant<FileSpec, MemorySpec, NullSpec, UriSpec, ExecSpec>;

struct BackendSpec {
  BackendForm form;
  /// Parameters that nobody here knows, a line for each. Those that begin with "x-" are experiments
  /// and not named.
  std::vector<std::string> warnings;
};

/// Throws Failure (usage) that says which part is wrong, its value, and what would be right.
BackendSpec parse_backend_spec(std::string_view text);

/// The canonical text: parse_backend_spec() reads the same form from it.
std::string to_text(const BackendForm& form);

/// Bytes: a decimal number, with K, M, G, T or P (also KiB to PiB, in any case) times 1024, 1024^2
/// and so on. Less than 2^63. Throws Failure (usage); `what` is named in it.
std::uint64_t parse_size(std::string_view text, std::string_view what = "size");

/// "", 1, true, yes, on, or 0, false, no, off. Throws Failure (usage); `name` is named in it.
bool parse_switch(std::string_view name, std::string_view value);

}  // namespace nbdring
