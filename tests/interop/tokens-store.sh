#!/bin/bash
# `nbdring token` as its user meets it: what is printed, what the store tells a stranger, who is refused,
# and many at once.

source "$(dirname "$0")/lib.sh"
requires jq

store=$work/private/tokens
token() { "$NBDRING" token "$@" --store "$store"; }

# expect_refusal CODE WORDS COMMAND…: one line on standard error, and nothing on standard output.
expect_refusal() {
  local code=$1 words=$2 status=0
  shift 2
  "$@" >"$work/out" 2>"$work/err" || status=$?
  ((status == code)) || fail "$*: exit code $status instead of $code: $(cat "$work/err")"
  [[ ! -s $work/out ]] || fail "$*: printed $(cat "$work/out")"
  [[ $(wc -l <"$work/err") -eq 1 ]] || fail "$*: not one line: $(cat "$work/err")"
  grep -qF -- "$words" "$work/err" || fail "$*: says $(cat "$work/err")"
}

created_tokens_are_printed_once() {
  local text lines
  text=$(token create --configuration cellar-of-the-house --label alice-in-the-cellar --expires 7d)
  [[ $text =~ ^[0-9a-f]{16}:[A-Za-z0-9_-]{43}$ ]] || fail "create printed '$text'"
  mapfile -t lines < <(token create --url https://gateway.example:8443/ --read-only --expires never)
  [[ ${#lines[@]} -eq 2 ]] || fail "create --url printed ${#lines[@]} lines"
  [[ ${lines[1]} == "https://gateway.example:8443/#t=${lines[0]/:/.}" ]] || fail "the link is ${lines[1]}"
  first_id=${text%%:*} first_secret=${text#*:} other_id=${lines[0]%%:*}
  pass "create prints id:secret, and a link whose fragment has both"
}

the_store_is_private_and_says_nothing() {
  [[ $(stat -c %a "$work/private" "$store" "$store.lock") == $'700\n600\n600' ]] || fail "others may look"
  local word
  for word in cellar alice house "$first_secret"; do
    ! grep -rqaF "$word" "$work/private" || fail "the store has '$word' in it"
    ! awk '{print $5}' "$store" | tr '_-' '/+' | base64 -di 2>/dev/null | grep -qaF "$word" ||
      fail "'$word' is only encoded"
  done
  [[ $(tail -n +2 "$store" | awk '{print length($5)}' | sort -u | wc -l) -eq 1 ]] || fail "lengths tell lines apart"
  pass "mode 0600 in 0700; neither destination, label nor secret, and all of one length"
}

list_shows_ids_and_days() {
  local today in_a_week
  today=$(date -u +%F) in_a_week=$(date -u -d '+7 days' +%F)
  token list | grep -qE "^$first_id +valid +$today +$in_a_week\$" || fail "list: $(token list)"
  token list --json | jq -e --arg one "$first_id" --arg two "$other_id" '
    length == 2 and (map(.id) | sort) == ([$one, $two] | sort) and all(.state == "valid")
    and (map(select(.id == $two))[0].expires == null)' >/dev/null || fail "list --json: $(token list --json)"
  pass "list, for people and for programs"
}

revoking() {
  expect_refusal 4 "0123456789abcdef" token revoke 0123456789abcdef
  token revoke "$first_id"
  expect_refusal 4 "$first_id" token revoke "$first_id"
  [[ $(token list --json | jq -r '.[].id') == "$other_id" ]] || fail "the wrong one was revoked"
  token revoke --all
  [[ -z $(token list) && $(token list --json) == '[]' ]] || fail "something is left: $(token list)"
  pass "revoke one, one that is not there (4), and all"
}

wrong_usage() {
  expect_refusal 2 "ACTION" "$NBDRING" token
  expect_refusal 2 "'make'" token make
  expect_refusal 2 "--all" token revoke
  expect_refusal 2 "16 hexadecimal digits" token revoke "$first_id:$first_secret"
  ! grep -qF "$first_secret" "$work/err" || fail "a secret is repeated"
  expect_refusal 2 "'7 days'" token create --expires '7 days'
  expect_refusal 2 "--expires" token create --expires 0d
  expect_refusal 2 "--expires" token create --expires 999999d
  expect_refusal 2 "gateway.example" token create --url gateway.example
  expect_refusal 2 "--label" token list --label x
  expect_refusal 2 "--json" token create --json
  expect_refusal 2 "label" token create --label "$(printf 'l%.0s' {1..65})"
  expect_refusal 2 "printed" token create --label $'two\nlines'
  pass "wrong usage is one line and exit code 2"
}

stores_that_others_can_change() {
  token create >/dev/null
  chmod 640 "$store"
  expect_refusal 6 "0640" token list
  chmod 600 "$store"
  chmod 777 "$work/private"
  expect_refusal 6 "others may write to" token create
  chmod 700 "$work/private"
  mv "$store" "$store.elsewhere" && ln -s "$store.elsewhere" "$store"
  expect_refusal 6 "symbolic link" token list
  rm "$store"
  printf 'nbdring-tokens 1\nrubbish\n' >"$store" && chmod 600 "$store"
  expect_refusal 1 "tokens:2:" token list
  rm -r "$work/private"
  [[ -z $(token list) ]] || fail "list where there is no store"
  pass "a store that others can read or change is refused (6), rubbish too (1), none is empty"
}

the_gateways_configuration_names_the_store() {
  local other=$work/other/tokens text
  printf '[gateway]\ntokens = "%s"\n' "$other" >"$work/nbdring.toml"
  text=$("$NBDRING" token create --config "$work/nbdring.toml")
  grep -q "^valid ${text%%:*} " "$other" || fail "the token is not in $other"
  pass "the store is where the gateway's configuration has it"
}

many_at_once() {
  local children=() i
  for i in {1..24}; do token create >"$work/made.$i" & children+=($!); done
  for i in "${children[@]}"; do wait "$i" || fail "a create failed"; done
  diff <(cut -d: -f1 "$work"/made.* | sort) <(token list --json | jq -r '.[].id' | sort) ||
    fail "tokens were lost"
  [[ ! -e $store.new ]] || fail "$store.new is left"
  pass "24 creates at once, none lost"
}

created_tokens_are_printed_once
the_store_is_private_and_says_nothing
list_shows_ids_and_days
revoking
wrong_usage
stores_that_others_can_change
the_gateways_configuration_names_the_store
many_at_once
