#!/bin/bash
# The gateway behind TLS: peers with certificates and with pre-shared keys, and those without; and with a socket that
# systemd made.

source "$(dirname "$0")/gateway-lib.sh"
requires certtool psktool gnutls-cli systemd-socket-activate curl
source "$(dirname "$0")/lib-tls.sh"
make_pki
make_psk
make_certificate "$keys/bob" client "$keys/ca" cn=bob
make_ca "$keys/other" 'Another CA'
make_certificate "$keys/stranger" client "$keys/other" cn=alice
cp "$keys/ca/ca-cert.pem" "$keys/stranger/"
cat >"$work/gateway.toml" <<TOML
[gateway]
state-dir = "$work/state.d"
tokens = "$work/private/tokens"
[gateway.configurations.attic]
socket = "$work/attic.sock"
users = ["CN=alice", "alice"]
grace = 2
[gateway.configurations.cellar]
socket = "$work/cellar.sock"
users = ["CN=bob"]
default = true
TOML
make_image "$work/image" 5M
start_nbdkit image --filter=cow file "$work/image"
scheme=wss

# let_in NAME FOLDER: a peer with the certificate in that folder.
let_in() { start_peer "$1" attic image --certificates "$keys/$2"; }
expect_the_image() {
  expect_serving "$work/attic.sock"
  expect_equal "the image" "$(sha_through "$work/attic.sock")" "$(sha "$work/image")"
}

page_status() { curl -s -o /dev/null -m 20 -w '%{http_code}' "$@" || true; }

certificates() {
  start_gateway --config "$work/gateway.toml" --tls-certificates "$keys/server" --tls-verify-peer
  let_in lone lone
  let_in stranger stranger
  let_in bob bob
  expect_event lone '^failed '
  expect_event stranger '^failed '
  expect_event bob '^refused (401|403)$'
  ! is_listening "$work/attic.sock" || fail "one of them got in"
  expect_log 'a TLS handshake failed.*showed no certificate'
  let_in alice client
  expect_the_image
  expect_equal "plain HTTP" "$(page_status "http://127.0.0.1:$port/")" 000
  expect_equal "the page" "$(page_status --cacert "$keys/ca/ca-cert.pem" --cert "$keys/bob/client-cert.pem" \
    --key "$keys/bob/client-key.pem" "https://127.0.0.1:$port/")" 200
  tell alice eject
  expect_ended "$work/attic.sock"
  stop_gateway
  pass "a certificate opens what its subject may have, to nobody else"
}

# psk_login USER FILE: the answer to a login.
psk_login() {
  printf 'POST /api/login?configuration=attic HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n' |
    timeout 20 gnutls-cli --pskusername "$1" --pskkey "$(sed -n "s/^$1://p" "$2")" --no-ca-verification \
      --priority NORMAL:+ECDHE-PSK:+DHE-PSK --port "$port" 127.0.0.1 2>&1 || true
}

pre_shared_keys() {
  start_gateway --config "$work/gateway.toml" --tls-psk "$keys/keys.psk"
  psk_login alice "$keys/keys.psk" >"$work/answer"
  grep -q '^HTTP/1.1 200' "$work/answer" || fail "alice: $(cat "$work/answer")"
  grep -q '"configuration":"attic"' "$work/answer" || fail "alice: $(cat "$work/answer")"
  psk_login bob "$keys/keys.psk" >"$work/answer"
  grep -qE '^HTTP/1.1 40[13]' "$work/answer" || fail "bob: $(cat "$work/answer")"
  for user in alice carol; do
    psk_login $user "$keys/wrong/keys.psk" >"$work/answer"
    ! grep -q '^HTTP' "$work/answer" || fail "$user with another key: $(cat "$work/answer")"
  done
  stop_gateway
  pass "a pre-shared key opens what its user may have"
}

# systemd's socket: the first peer starts the gateway, nothing is said of a port.
activated() {
  port=10917
  systemd-socket-activate -l "127.0.0.1:$port" "$NBDRING" gateway --config "$work/gateway.toml" \
    --tls-certificates "$keys/server" --tls-verify-peer >>"$gateway_log" 2>&1 &
  gateway_pid=$!
  forget_peer alice
  let_in alice client
  expect_the_image
  [[ $(readlink "/proc/$gateway_pid/exe") == "$NBDRING" ]] || fail "somebody else answers"
  stop_gateway
  expect_event alice '^closed 1001 the gateway ends$'
  pass "socket activation"
}

certificates
pre_shared_keys
activated
