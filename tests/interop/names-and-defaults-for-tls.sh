#!/bin/bash
# The configuration's [tls] has the keys for a remote backend whose URI and options do not say.

source "$(dirname "$0")/lib.sh"
unset NBDRING_ROUTES
requires psktool

cd "$work"
for user in alice bob; do psktool --username "$user" --pskfile "$user.psk" >"$work/psktool.log" 2>&1; done
chmod 600 ./*.psk
truncate -s 1M image
start_serve image --tls-psk alice.psk --tls require
tls_uri="nbds+unix://alice@/?socket=$socket"

# write_config KEYS: the alias srv, and KEYS as [tls]'s psk-file
write_config() {
  printf '[aliases]\nsrv = "%s"\n[tls]\npsk-file = "%s"\n' "$tls_uri" "$work/$1" >names.toml
  chmod 600 names.toml
}
info() { "$NBDRING" info --config names.toml "$@"; }

write_config alice.psk
info srv >told
grep -q 'TLS1\.[23]' told || fail "no TLS in: $(cat told)"
info "$tls_uri" >/dev/null
pass "the file's keys"

write_config bob.psk
expect_refused 6 alice "$NBDRING" info --config names.toml srv
info srv --tls-psk-file "$work/alice.psk" >/dev/null
info "$tls_uri&tls-psk-file=$work/alice.psk" >/dev/null
pass "the URI's and the option's keys go before them"

stop_serve
start_serve image
info "$uri" >told
if grep -q 'TLS1\.' told; then fail "the file turned TLS on: $(cat told)"; fi
pass 'keys alone turn no TLS on'
