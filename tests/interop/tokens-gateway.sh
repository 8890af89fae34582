#!/bin/bash
# Tokens at the gateway: two tokens for two configurations, a used one refused, also after the gateway was killed, and a
# session whose key admits its peer again until its time is over.

source "$(dirname "$0")/gateway-lib.sh"
requires curl jq

store=$work/private/tokens
cat >"$work/gateway.toml" <<TOML
[gateway]
tokens = "$store"
state-dir = "$work/state.d"
[gateway.configurations.cellar]
socket = "$work/cellar.sock"
grace = 4
[gateway.configurations.attic]
socket = "$work/attic.sock"
default = true
grace = 4
TOML

new_token() { "$NBDRING" token create --store "$store" "$@"; }

# expect_login STATUS TOKEN CONFIGURATION: what the gateway answers to a login; the JSON is in $work/answer.
expect_login() {
  local status
  status=$(curl -sS -o "$work/answer" -w '%{http_code}' -X POST ${2:+-H "Authorization: Bearer $2"} \
    "http://127.0.0.1:$port/api/login?configuration=$3")
  [[ $status == "$1" ]] || fail "a login for '$3' gets $status instead of $1: $(cat "$work/answer")"
}
answer() { jq -er ".$1" "$work/answer"; }

# The status of a session by its key.
session_status() {
  curl -sS -o /dev/null -w '%{http_code}' -H "Authorization: Bearer-Session $1" "http://127.0.0.1:$port/api/session"
}
has_session_status() { [[ $(session_status "$1") == "$2" ]]; }
key_of() { awk '$1 == "login" { print $4 }' "$work/$1.events"; }
next_of() { awk '$1 == "login" { print $5 }' "$work/$1.events"; }

is_forgotten() { ! grep -q "^spent ${1%%:*} " "$store"; }

strangers_are_refused() {
  expect_login 401 '' cellar
  expect_login 403 rubbish cellar
  expect_login 403 "0123456789abcdef:$(printf 'A%.0s' {1..43})" cellar
  expect_login 403 "${cellar%%:*}:$(printf 'A%.0s' {1..43})" cellar
  [[ $(jq -r .error "$work/answer") == "access denied" ]] || fail "more than that is told: $(cat "$work/answer")"
  expect_login 403 "$cellar" attic
  pass "no token 401; a wrong one, and one for something else, 403"
}

two_tokens_open_two_destinations() {
  start_peer cellar cellar cellar --connections 2 --image c --login --token "${cellar/:/.}"
  start_peer attic attic attic --connections 2 --image a --login --token "${attic/:/.}"
  expect_serving "$work/cellar.sock"
  expect_serving "$work/attic.sock"
  expect_equal "the cellar" "$(sha_through "$work/cellar.sock")" "$(sha "$work/cellar.img")"
  expect_equal "the attic" "$(sha_through "$work/attic.sock")" "$(sha "$work/attic.img")"
  wait_until 10 is_forgotten "$cellar" || fail "the used token is still in the store"
  pass "two tokens, two destinations"
}

used_tokens_are_refused() {
  expect_login 403 "$cellar" cellar
  expect_login 403 "$attic" attic
  pass "used tokens are refused"
}

a_peer_of_the_session_comes_back() {
  tell cellar drop
  sleep 1
  tell cellar back
  expect_equal "the cellar again" "$(sha_through "$work/cellar.sock")" "$(sha "$work/cellar.img")"
  has_session_status "$(key_of cellar)" 200 || fail "the session is not known any more"
  pass "within the grace the session's key admits its peer again"
}

after_the_grace_the_key_is_worth_nothing() {
  tell cellar drop
  expect_ended "$work/cellar.sock"
  tell cellar back
  expect_event cellar '^refused 403$'
  tell cellar end
  expect_login 403 "$cellar" cellar
  pass "after the grace it is refused, and so is the used token"
}

the_successor_follows() {
  expect_login 200 "$(next_of cellar)" cellar
  [[ $(answer configuration) == cellar ]] || fail "it is for $(answer configuration)"
  successor=$(answer next_token)
  expect_login 403 "$(next_of cellar)" cellar
  pass "the successor opens the same destination, once"
}

# Killed while a session is served: what was used stays used, and what its peer has is good.
a_killed_gateway() {
  local attics_next
  attics_next=$(next_of attic)
  tell attic end
  kill -KILL "$gateway_pid"
  wait "$gateway_pid" 2>/dev/null || true
  rm -f "$work/attic.sock"
  start_gateway --config "$work/gateway.toml" --log-format json
  expect_login 403 "$attic" attic
  expect_login 200 "$attics_next" attic
  expect_login 200 "$successor" cellar
  expect_login 403 "$successor" cellar
  pass "killed with SIGKILL: used tokens stay used, their successors are good"
}

the_log_has_no_error_and_no_secret() {
  jq -es 'all(.level != "error")' "$gateway_log" >/dev/null || fail "an error is logged"
  jq -es 'any(.level == "info" and .message == "token refused")' "$gateway_log" >/dev/null ||
    fail "refused tokens are not told"
  ! grep -qF -e "${cellar#*:}" -e "${attic#*:}" -e "${successor#*:}" "$gateway_log" || fail "a secret is in the log"
  pass "refusals are told at info level, secrets never"
}

make_image "$work/cellar.img" 3M
make_image "$work/attic.img" 2M
start_nbdkit cellar --filter=cow file "$work/cellar.img"
start_nbdkit attic --filter=cow file "$work/attic.img"
cellar=$(new_token --configuration cellar --label alice)
attic=$(new_token)
start_gateway --config "$work/gateway.toml" --log-format json

strangers_are_refused
two_tokens_open_two_destinations
used_tokens_are_refused
a_peer_of_the_session_comes_back
after_the_grace_the_key_is_worth_nothing
the_successor_follows
a_killed_gateway
the_log_has_no_error_and_no_secret
stop_gateway
