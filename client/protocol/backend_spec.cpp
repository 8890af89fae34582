#include "client/protocol/backend_spec.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <span>

#include "client/protocol/nbd.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using Names = std::span<const std::string_view>;

[[noreturn]] void fail(const std::string& text) { throw Failure(FailureKind::usage, text); }

std::string quoted(std::string_view value) { return "'" + std::string(value) + "'"; }

// What a remote scheme's URI must, may and cannot have. A part that is neither demanded nor refused
// has a default.
struct SchemeRules {
  std::string_view scheme;
  bool demands_host;
  bool refuses_host;
  Names demands;  // parameters
  Names takes;    // parameters; besides those of TLS and `name`
  std::string_view example;
};

constexpr std::array<std::string_view, 7> common_parameters{
    "name",         "tls-certificates", "tls-hostname",   "tls-priority",
    "tls-psk-file", "tls-type",         "tls-verify-peer"};
constexpr std::array<std::string_view, 1> socket_only{"socket"};
constexpr std::array<std::string_view, 1> command_only{"command"};
constexpr std::array<std::string_view, 4> ssh_parameters{"socket", "command", "netcat", "keyfile"};
constexpr std::array<std::string_view, 2> websocket_parameters{"export", "token-file"};

constexpr std::array<SchemeRules, 10> schemes{{
    {"nbd", false, false, {}, {}, "nbd://HOST[:PORT]/EXPORT"},
    {"nbds", false, false, {}, {}, "nbds://HOST[:PORT]/EXPORT"},
    {"nbd+unix", false, true, socket_only, socket_only, "nbd+unix:///EXPORT?socket=PATH"},
    {"nbds+unix", false, true, socket_only, socket_only, "nbds+unix:///EXPORT?socket=PATH"},
    {"nbd+vsock", false, false, {}, {}, "nbd+vsock://CID[:PORT]/EXPORT"},
    {"nbds+vsock", false, false, {}, {}, "nbds+vsock://CID[:PORT]/EXPORT"},
    {"nbd+ssh", true, false, socket_only, ssh_parameters,
     "nbd+ssh://[USER@]HOST[:PORT]/EXPORT?socket=PATH"},
    {"nbd+ext", false, true, command_only, command_only, "nbd+ext:///EXPORT?command=CMD"},
    {"ws", true, false, {}, websocket_parameters, "ws://HOST[:PORT]/PATH"},
    {"wss", true, false, {}, websocket_parameters, "wss://HOST[:PORT]/PATH"},
}};

constexpr std::array<std::string_view, 4> file_parameters{"cache", "offset", "size", "readonly"};

bool contains(Names names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void refuse_twice(const Uri& uri, std::string_view name) {
  const auto times = std::count_if(uri.parameters.begin(), uri.parameters.end(),
                                   [name](const auto& pair) { return pair.first == name; });
  if (times > 1) fail("the parameter " + quoted(name) + " is given twice in " + to_text(uri));
}

// A repeated parameter that we know is a contradiction; one that we do not know is only named.
std::vector<std::string> check_parameters(const Uri& uri, Names known, Names also_known = {}) {
  std::vector<std::string> warnings;
  for (const auto& [name, value] : uri.parameters) {
    if (contains(known, name) || contains(also_known, name)) {
      refuse_twice(uri, name);
    } else if (!name.starts_with("x-")) {
      warnings.push_back("parameter " + quoted(name) + " of the backend is not known to " +
                         uri.scheme + ": and is ignored");
    }
  }
  return warnings;
}

FileSpec::Cache parse_cache(std::string_view value) {
  if (value == "writeback") return FileSpec::Cache::writeback;
  if (value == "none") return FileSpec::Cache::none;
  fail("the parameter cache=" + quoted(value) + " is not writeback or none");
}

std::uint64_t parse_size_above_0(std::string_view text, std::string_view what) {
  const std::uint64_t size = parse_size(text, what);
  if (size == 0) fail(std::string(what) + " " + quoted(text) + " is not more than 0");
  return size;
}

BackendSpec parse_file(std::string_view text) {
  const Uri uri = parse_uri(text);
  if (uri.user || uri.port || !(uri.host.empty() || uri.host == "localhost")) {
    fail("file: names a file of this machine, " + quoted(text) + " has a host; write file:PATH");
  }
  if (uri.path.empty()) fail("the path in " + quoted(text) + " is empty; write file:PATH");
  FileSpec file;
  file.path = uri.path;
  std::vector<std::string> warnings = check_parameters(uri, file_parameters);
  if (const auto value = uri.parameter("cache")) file.cache = parse_cache(*value);
  if (const auto value = uri.parameter("offset")) file.offset = parse_size(*value, "offset");
  if (const auto value = uri.parameter("size")) file.size = parse_size_above_0(*value, "size");
  if (const auto value = uri.parameter("readonly")) {
    file.read_only = parse_switch("readonly", *value);
  }
  if (file.size && *file.size > nbd::largest_export - file.offset) {
    fail("offset and size in " + quoted(text) + " reach beyond 2^63 bytes");
  }
  return {file, std::move(warnings)};
}

void check_context_id(const Uri& uri) {
  std::uint32_t id = 0;
  const char* end = uri.host.data() + uri.host.size();
  const auto [stop, error] = std::from_chars(uri.host.data(), end, id);
  if (uri.host.empty() || (error == std::errc() && stop == end)) return;
  fail("the vsock context id " + quoted(uri.host) +
       " is not a number; it is 2 for the host of this virtual machine");
}

// What ssh would take for an option of its own, "-oProxyCommand=..." above all, runs any command.
// The far side's nc is in the same place.
void refuse_options_for_ssh(const Uri& uri, std::string_view text) {
  const auto refuse = [text](std::string_view what, std::string_view value) {
    if (!value.starts_with('-')) return;
    fail("the " + std::string(what) + " " + quoted(value) + " in " + quoted(text) +
         " begins with '-', which ssh would take for an option");
  };
  refuse("host", uri.host);
  refuse("user", uri.user.value_or(""));
  refuse("socket", uri.parameter("socket").value_or(""));
  if (uri.parameter("socket").value_or("").starts_with('\0')) {
    fail("the socket in " + quoted(text) + " is an abstract one, which nc -U cannot reach");
  }
}

// Words of libvirt's for what has a name in NBD.
std::string_view usual_scheme(std::string_view scheme) {
  if (scheme == "nbd+tcp") return "nbd";
  if (scheme == "nbds+tcp" || scheme == "nbd+tls") return "nbds";
  return scheme;
}

BackendSpec parse_remote(std::string_view text, const SchemeRules& rules) {
  Uri uri = parse_uri(text);
  uri.scheme = rules.scheme;
  const std::string hint = "; write " + std::string(rules.example);
  if (!uri.has_authority) fail(quoted(text) + " has no '//' behind its scheme" + hint);
  if (rules.demands_host && uri.host.empty())
    fail("the host in " + quoted(text) + " is missing" + hint);
  if (rules.refuses_host && (!uri.host.empty() || uri.port)) {
    fail("the host " + quoted(uri.host) + " has no meaning with " + uri.scheme + ":" + hint);
  }
  if (uri.scheme.ends_with("+vsock")) check_context_id(uri);
  for (const std::string_view name : rules.demands) {
    if (uri.parameter(name).value_or("").empty()) {
      fail("the parameter " + quoted(name) + " in " + quoted(text) + " is missing" + hint);
    }
  }
  for (const std::string_view name : rules.takes) {
    if (uri.parameter(name) == "")
      fail("the parameter " + quoted(name) + " in " + quoted(text) + " is empty" + hint);
  }
  if (uri.scheme == "nbd+ssh") refuse_options_for_ssh(uri, text);
  if (!contains(rules.takes, "socket") && uri.scheme.starts_with("nbd") &&
      uri.parameter("socket")) {
    fail("the parameter 'socket' has no meaning with " + uri.scheme +
         ":; write nbd+unix:///EXPORT?socket=PATH");
  }
  if (uri.scheme == "ws" && uri.user) {
    fail("the user in " + quoted(text) +
         " has no meaning with ws:; a token goes into a file: token-file=FILE");
  }
  std::vector<std::string> warnings = check_parameters(uri, common_parameters, rules.takes);
  // Parameters that are not ours belong to the websocket's endpoint.
  if (uri.scheme.starts_with("ws")) warnings.clear();
  return {UriSpec{std::move(uri)}, std::move(warnings)};
}

ExecSpec parse_exec(std::string_view command) {
  if (command.find_first_not_of(" \t") == std::string_view::npos) {
    fail("the command behind exec: is empty; write exec:CMD, as in exec:nbdkit memory 1G");
  }
  return {std::string(command)};
}

std::string file_text(const FileSpec& file) {
  Uri uri;
  uri.scheme = "file";
  uri.path = file.path;
  if (file.cache == FileSpec::Cache::none) uri.parameters.emplace_back("cache", "none");
  if (file.offset != 0) uri.parameters.emplace_back("offset", std::to_string(file.offset));
  if (file.size) uri.parameters.emplace_back("size", std::to_string(*file.size));
  if (file.read_only) uri.parameters.emplace_back("readonly", "");
  // An absolute path without parameters reads best as what the user typed.
  if (uri.parameters.empty() && file.path.starts_with('/')) return file.path;
  return to_text(uri);
}

struct FormText {
  std::string operator()(const FileSpec& file) const { return file_text(file); }
  std::string operator()(const MemorySpec& memory) const {
    return "memory:" + std::to_string(memory.size);
  }
  std::string operator()(const NullSpec& null) const { return "null:" + std::to_string(null.size); }
  std::string operator()(const UriSpec& remote) const { return to_text(remote.uri); }
  std::string operator()(const ExecSpec& exec) const { return "exec:" + exec.command; }
};

// Nearly certainly a mistake: as a path it would be a file in a directory whose name ends with a
// colon.
void refuse_unknown_scheme(std::string_view text, const std::string& scheme) {
  if (!text.substr(scheme.size() + 1).starts_with("//")) return;
  std::string known = "file, memory, null, exec";
  for (const auto& rules : schemes) known.append(", ").append(rules.scheme);
  fail("the scheme " + quoted(scheme) + " in " + quoted(text) + " is none of " + known +
       "; write ./" + std::string(text) + " for a file of this name");
}

}  // namespace

std::uint64_t parse_size(std::string_view text, std::string_view what) {
  constexpr std::string_view suffixes = "KMGTP";
  static_assert((nbd::largest_export >> (10 * suffixes.size())) > 0);
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  std::string suffix(stop, end);
  std::transform(suffix.begin(), suffix.end(), suffix.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  if (suffix.size() == 3 && suffix.ends_with("IB")) suffix.resize(1);
  const std::size_t power = suffix.size() == 1 ? suffixes.find(suffix) : std::string_view::npos;
  const bool has_unit = !suffix.empty();
  const bool is_number = stop != text.data() && error != std::errc::invalid_argument;
  if (!is_number || (has_unit && power == std::string_view::npos)) {
    fail(std::string(what) + " " + quoted(text) +
         " is not a number of bytes; write 5000, 64K, 10M, 1G, 2T or 1P");
  }
  const unsigned shift = has_unit ? 10 * (static_cast<unsigned>(power) + 1) : 0;
  if (error == std::errc::result_out_of_range || number > (nbd::largest_export >> shift)) {
    fail(std::string(what) + " " + quoted(text) + " is 2^63 bytes or more");
  }
  return number << shift;
}

bool parse_switch(std::string_view name, std::string_view value) {
  constexpr std::array<std::string_view, 5> on{"", "1", "true", "yes", "on"};
  constexpr std::array<std::string_view, 4> off{"0", "false", "no", "off"};
  if (contains(on, value)) return true;
  if (contains(off, value)) return false;
  fail("the parameter " + std::string(name) + "=" + quoted(value) + " is not 0 or 1");
}

std::string to_text(const BackendForm& form) { return std::visit(FormText{}, form); }

BackendSpec parse_backend_spec(std::string_view text) {
  if (text.empty()) fail("the backend is empty; name a file, or see nbdring --help");
  if (text.find('\0') != std::string_view::npos) fail("the backend contains a NUL");
  const auto scheme = scheme_of(text);
  if (!scheme) return {FileSpec{std::string(text)}, {}};
  const std::string_view rest = text.substr(scheme->size() + 1);
  if (*scheme == "file") return parse_file(text);
  if (*scheme == "memory") return {MemorySpec{parse_size_above_0(rest, "the size of memory:")}, {}};
  if (*scheme == "null") return {NullSpec{parse_size_above_0(rest, "the size of null:")}, {}};
  if (*scheme == "exec") return {parse_exec(rest), {}};
  for (const auto& rules : schemes) {
    if (rules.scheme == usual_scheme(*scheme)) return parse_remote(text, rules);
  }
  refuse_unknown_scheme(text, *scheme);
  return {FileSpec{std::string(text)}, {}};
}

}  // namespace nbdring
