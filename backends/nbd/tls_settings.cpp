#include "backends/nbd/tls_settings.hpp"

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

[[noreturn]] void fail(const std::string& text) { throw Failure(FailureKind::usage, text); }

// The value that the URI or the option gives; empty where neither does.
std::string merged(const Uri& uri, std::string_view name,
                   const std::optional<std::string>& option) {
  const auto parameter = uri.parameter(name);
  if (!parameter) return option.value_or("");
  if (option && *option != *parameter) {
    fail("--" + std::string(name) + "=" + *option + " contradicts " + std::string(name) + "=" +
         std::string(*parameter) + " in " + to_text(uri) + "; leave one out");
  }
  return std::string(*parameter);
}

bool merged_verify_peer(const Uri& uri, const std::optional<bool>& option) {
  const auto parameter = uri.parameter("tls-verify-peer");
  if (!parameter) return option.value_or(true);
  const bool verifies = parse_switch("tls-verify-peer", *parameter);
  if (option && *option != verifies) {
    fail("--tls-verify-peer contradicts tls-verify-peer=" + std::string(*parameter) + " in " +
         to_text(uri) + "; leave one out");
  }
  return verifies;
}

// nbd for nbds, nbd+unix for nbds+unix, ws for wss
std::string without_tls(const std::string& scheme) {
  return scheme == "wss" ? "ws" : "nbd" + scheme.substr(4);
}

TlsPolicy policy_of(const std::string& scheme, const std::optional<TlsPolicy>& option) {
  const bool demands = scheme == "nbds" || scheme.starts_with("nbds+") || scheme == "wss";
  if (scheme == "ws" && option.value_or(TlsPolicy::off) != TlsPolicy::off) {
    fail("ws:// has no TLS; write wss://, or leave --tls out");
  }
  if (!demands) return option.value_or(TlsPolicy::off);
  if (option.value_or(TlsPolicy::require) != TlsPolicy::require) {
    fail(std::string("--tls=") + (*option == TlsPolicy::off ? "off" : "allow") + " contradicts " +
         scheme + "://, which demands TLS; write " + without_tls(scheme) + "://, or leave it out");
  }
  return TlsPolicy::require;
}

// Keys that would not be used: somebody believes that the connection is encrypted.
void refuse_without_tls(const TlsSettings& settings, const std::string& scheme) {
  const bool has_any = !settings.psk_file.empty() || !settings.certificates.empty() ||
                       !settings.hostname.empty() || !settings.priority.empty() ||
                       !settings.authorities_file.empty() || !settings.key_file.empty() ||
                       !settings.verify_peer;
  if (!has_any) return;
  if (scheme == "ws") fail("parameters for TLS are given, but ws: has none; write wss://");
  const bool has_twin = scheme == "nbd" || scheme == "nbd+unix" || scheme == "nbd+vsock";
  fail("parameters for TLS are given, but " + scheme + ": has none; " +
       (has_twin ? "write nbds" + scheme.substr(3) + "://, or " : std::string()) +
       "say --tls=require");
}

void check_type(const TlsSettings& settings, const Uri& uri) {
  if (!settings.psk_file.empty() && !settings.certificates.empty()) {
    fail("both tls-psk-file and tls-certificates are given; a connection has one kind of keys");
  }
  const auto type = uri.parameter("tls-type");
  if (!type) return;
  if (*type == "psk" && settings.psk_file.empty()) {
    fail("tls-type=psk needs tls-psk-file=FILE, with lines USER:HEXKEY as psktool writes them");
  }
  if (*type == "x509" && !settings.psk_file.empty()) {
    fail("tls-type=x509 contradicts tls-psk-file; leave one out");
  }
  if (*type != "psk" && *type != "x509") {
    fail("the parameter tls-type='" + std::string(*type) + "' is not psk or x509");
  }
}

// The name that the certificate must have. Only TCP has one of its own.
std::string default_hostname(const Uri& uri) {
  if (uri.scheme != "nbd" && uri.scheme != "nbds" && uri.scheme != "wss") return "";
  if (uri.host.empty()) return "localhost";
  return uri.host.substr(0, uri.host.find('%'));  // an interface is no part of an address
}

void take_single_files(TlsSettings& settings, const TlsOptions& options) {
  if (options.has_single_files() && !(settings.certificates.empty() && settings.psk_file.empty())) {
    fail(
        "certificates are given as single files and by tls-psk-file or tls-certificates too; "
        "leave one out");
  }
  if (options.certificate_file.empty() != options.key_file.empty()) {
    fail("a client's certificate and its key go together; give both files, or neither");
  }
  settings.authorities_file = options.authorities_file;
  settings.certificate_file = options.certificate_file;
  settings.key_file = options.key_file;
}

Uri uri_of(const BackendForm& form) {
  if (const auto* remote = std::get_if<UriSpec>(&form)) return remote->uri;
  Uri uri;
  uri.scheme = "exec";
  return uri;
}

}  // namespace

TlsSettings tls_settings_of(const BackendForm& form, const TlsOptions& options) {
  const Uri uri = uri_of(form);
  TlsSettings settings;
  settings.policy = policy_of(uri.scheme, options.policy);
  settings.psk_file = merged(uri, "tls-psk-file", options.psk_file);
  settings.certificates = merged(uri, "tls-certificates", options.certificates);
  settings.hostname = merged(uri, "tls-hostname", options.hostname);
  settings.priority = merged(uri, "tls-priority", options.priority);
  settings.verify_peer = merged_verify_peer(uri, options.verify_peer);
  take_single_files(settings, options);
  if (settings.policy == TlsPolicy::off) {
    refuse_without_tls(settings, uri.scheme);
    return settings;
  }
  check_type(settings, uri);
  // In an ssh URI it is the other machine's user.
  if (uri.scheme != "nbd+ssh") settings.psk_user = uri.user.value_or("");
  if (settings.hostname.empty()) settings.hostname = default_hostname(uri);
  if (settings.hostname.empty() && settings.psk_file.empty() && settings.verify_peer) {
    fail("the certificate of " + to_text(form) +
         " must name somebody, and no host is named here; say tls-hostname=NAME, or use a "
         "tls-psk-file");
  }
  return settings;
}

}  // namespace nbdring
