// /api/login and /api/session, and who may.

#include <nlohmann/json.hpp>
#include <utility>

#include "backends/websocket/listener_connection.hpp"

namespace nbdring {
namespace {

/// What the authenticator's thread leaves; that thread may outlive who asked.
struct Outcome {
  std::optional<Verdict> verdict;
  std::string failure;
};

HttpAnswer answer_method(const char* method) {
  return answer_error({405, std::string("this path takes ") + method, {{"Allow", method}}});
}

}  // namespace

Task<HttpAnswer> ListenerConnection::answer_api() {
  const std::string& path = request_.target.path;
  HttpAnswer answer = answer_error({404, "there is nothing at this path"});
  if (!may_come_from(request_, context_.options.origins)) {
    answer = answer_error({403, "another site's page asks"});
  } else if (path == "/api/session") {
    answer = request_.method == "GET" ? answer_session() : answer_method("GET");
  } else if (path == "/api/login" && request_.method != "POST") {
    answer = answer_method("POST");
  } else if (path == "/api/login") {
    answer = co_await answer_login();
  }
  co_return std::move(answer);
}

Task<HttpAnswer> ListenerConnection::answer_login() {
  const Credentials credentials = credentials_of(request_);
  std::string name(request_.target.parameter("configuration").value_or(""));
  auto granted = co_await authenticate(std::move(name), credentials);
  if (const auto* error = std::get_if<HttpError>(&granted)) {
    HttpAnswer refused = answer_error(*error);
    co_return std::move(refused);
  }
  const Grant& grant = std::get<Grant>(granted);
  auto described = context_.host.describe(grant);
  if (const auto* error = std::get_if<HttpError>(&described)) {
    end_fresh_session();
    HttpAnswer refused = answer_error(*error);
    co_return std::move(refused);
  }
  auto& fields = std::get<nlohmann::json>(described);
  fields["session"] = grant.session_key;
  fields["next_token"] = nullptr;
  if (!grant.next_token.empty()) fields["next_token"] = grant.next_token;
  HttpAnswer answer = answer_json(fields);
  co_return std::move(answer);
}

HttpAnswer ListenerConnection::answer_session() const {
  const Credentials credentials = credentials_of(request_);
  if (credentials.session.empty()) {
    return answer_error({401, "access denied", {{"WWW-Authenticate", "Bearer-Session"}}});
  }
  const auto state = context_.host.session_state(credentials.session);
  if (!state) return answer_error({404, "there is no such session"});
  return answer_json(*state);
}

Task<ListenerConnection::Granted> ListenerConnection::authenticate(std::string configuration,
                                                                   Credentials credentials) {
  Presented presented;
  presented.token = std::move(credentials.token);
  presented.configuration = std::move(configuration);
  presented.session = std::move(credentials.session);
  presented.tls = tls_;
  presented.is_encrypted = context_.options.tls != nullptr;
  presented.peer = address_.text;
  const auto outcome = std::make_shared<Outcome>();
  std::function<void()> job = [&authenticator = context_.authenticator, presented, outcome] {
    try {
      outcome->verdict.emplace(authenticator.next(presented));
    } catch (const std::exception& error) {
      outcome->failure = error.what();
    }
  };
  const bool was_done =
      co_await context_.offload->run(context_.loop, std::move(job), context_.options.grant_time);
  Granted granted = HttpError{500, "the gateway cannot tell who may have what: see its log"};
  if (was_done && outcome->verdict) {
    granted = judge(presented, *outcome->verdict);
  } else {
    const std::string why = was_done ? outcome->failure : "the authenticator does not answer";
    context_.log.failed("cannot tell who may have what", address_.text, why);
  }
  co_return std::move(granted);
}

ListenerConnection::Granted ListenerConnection::judge(const Presented& presented,
                                                      const Verdict& verdict) {
  if (const auto* grant = std::get_if<Grant>(&verdict)) {
    if (grant->session_key != presented.session) fresh_session_ = grant->session_key;
    return *grant;
  }
  const bool has_credential = presented.has_credential();
  context_.log.refused("access denied", address_.text,
                       has_credential ? "the credential is worth nothing here" : "no credential");
  if (has_credential) return HttpError{403, "access denied"};
  return HttpError{401, "access denied", {{"WWW-Authenticate", "Bearer"}}};
}

// Whoever is turned away after his token was used, or does not get the answer with its successor,
// has not used it: a session that ends before it is confirmed makes it good again.
void ListenerConnection::end_fresh_session() {
  if (fresh_session_.empty()) return;
  context_.offload->start([&sessions = context_.sessions, key = std::exchange(fresh_session_, {})] {
    sessions.end(key);
  });
}

}  // namespace nbdring
