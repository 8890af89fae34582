#!/bin/bash
# Strangers who guess tokens, beside a session that has one: see hostile/gateway_tokens.py.

source "$(dirname "$0")/gateway-hostile-lib.sh"
store=$work/private/tokens
token=$("$NBDRING" token create --store "$store" --configuration good)
unused=$("$NBDRING" token create --store "$store" --configuration h0)
export NBDRING_TOKEN=${token/:/.}
run_hostile gateway_tokens --tokens "$store"
! grep -qF -e "${token#*:}" -e "${unused#*:}" "$gateway_log" || fail "a secret is in the log"
# Whoever guessed has used up nobody's token.
start_gateway --config "$work/gateway.toml" --tokens "$store"
status=$(curl -s -o /dev/null -w '%{http_code}' -X POST -H "Authorization: Bearer $unused" \
  "http://127.0.0.1:$port/api/login?configuration=h0")
expect_equal "a login with a good token" "$status" 200
stop_gateway
pass "nobody guesses a token"
