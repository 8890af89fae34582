#!/bin/bash
# nbdring info against nbd-server: several exports of one configuration, a list that is refused, and
# TLS with certificates.

source "$(dirname "$0")/lib.sh"
requires nbd-server certtool

value() { "$python" -c "import json,sys; print(json.load(sys.stdin)$1)"; }
asks() { timeout 20 "$NBDRING" info --json "$@" 2>"$work/warnings" </dev/null; }

at_exit+=('end_server')
has_pid() { [[ -s $work/pid ]]; }
# It goes into the background by itself: with -d it serves one client.
end_server() {
  [[ -s $work/pid ]] || return 0
  kill -KILL "$(cat "$work/pid")" 2>/dev/null || true
  rm -f "$work/pid"
}

# serve_config GENERIC: nbd-server with two exports and these lines in its first section.
serve_config() {
  end_server
  port=$((20000 + RANDOM % 20000))
  {
    printf '[generic]\nlistenaddr = 127.0.0.1\nport = %s\n%s\n' "$port" "$1"
    printf '[one]\nexportname = %s/one\nflush = true\nfua = true\ntrim = true\n' "$work"
    printf '[two]\nexportname = %s/two\nreadonly = true\n' "$work"
  } >"$work/config"
  nbd-server -C "$work/config" -p "$work/pid" >"$serve_log" 2>&1 || fail "nbd-server does not start"
  wait_until 20 has_pid || fail "nbd-server wrote no pid"
}

truncate -s 5M "$work/one"
truncate -s 7M "$work/two"

serve_config 'allowlist = true'
json=$(asks --list "nbd://127.0.0.1:$port/")
expect_equal names "$("$python" -c \
  "import json,sys; print(sorted(e['name'] for e in json.load(sys.stdin)['exports']))" <<<"$json")" \
  "['one', 'two']"
json=$(asks "nbd://127.0.0.1:$port/two")
expect_equal size "$(value "['exports'][0]['size']" <<<"$json")" 7340032
expect_equal read-only "$(value "['exports'][0]['read_only']" <<<"$json")" True
expect_refused 4 "no export named 'three'" "$NBDRING" info "nbd://127.0.0.1:$port/three"
expect_refused 6 'refuses TLS' "$NBDRING" info "nbds://127.0.0.1:$port/one"

serve_config 'allowlist = false'
expect_refused 6 'does not list its exports' "$NBDRING" info --list "nbd://127.0.0.1:$port/"

# ---- TLS: an authority, a server's certificate for 127.0.0.1, and a client's, which nbd-server wants
mkdir "$work/pki" "$work/anonymous" "$work/server"
certtool --generate-privkey --outfile "$work/ca-key.pem" 2>/dev/null
printf 'cn = "nbdring test authority"\nca\ncert_signing_key\n' >"$work/ca.info"
certtool --generate-self-signed --load-privkey "$work/ca-key.pem" --template "$work/ca.info" \
  --outfile "$work/pki/ca-cert.pem" 2>/dev/null
cp "$work/pki/ca-cert.pem" "$work/anonymous"

# certificate KEY CERT TEMPLATE-LINE…
certificate() {
  certtool --generate-privkey --outfile "$1" 2>/dev/null
  printf '%s\n' "${@:3}" >"$work/template"
  certtool --generate-certificate --load-privkey "$1" --load-ca-certificate "$work/pki/ca-cert.pem" \
    --load-ca-privkey "$work/ca-key.pem" --template "$work/template" --outfile "$2" 2>/dev/null
}
certificate "$work/server/key.pem" "$work/server/cert.pem" 'cn = "localhost"' \
  'dns_name = "localhost"' 'ip_address = "127.0.0.1"' tls_www_server signing_key
certificate "$work/pki/client-key.pem" "$work/pki/client-cert.pem" 'cn = "alice"' tls_www_client \
  signing_key

serve_config "allowlist = true
force_tls = true
cacertfile = $work/pki/ca-cert.pem
certfile = $work/server/cert.pem
keyfile = $work/server/key.pem"
expect_refused 6 'the server demands TLS' "$NBDRING" info "nbd://127.0.0.1:$port/one"
json=$(asks "nbds://127.0.0.1:$port/one?tls-certificates=$work/pki") || fail "$(cat "$work/warnings")"
expect_equal size "$(value "['exports'][0]['size']" <<<"$json")" 5242880
[[ $(value "['tls']['version']" <<<"$json") == TLS1.* ]] || fail "no TLS in $json"
expect_refused 6 'refuses a client' "$NBDRING" info \
  "nbds://127.0.0.1:$port/one?tls-certificates=$work/anonymous"
expect_refused 6 'certificate' "$NBDRING" info "nbds://127.0.0.1:$port/one"
expect_refused 6 'other.example' "$NBDRING" info \
  "nbds://127.0.0.1:$port/one?tls-certificates=$work/pki&tls-hostname=other.example"
pass "nbd-server: exports, lists, TLS"
