#!/bin/bash
# Other programs' clients with a pre-shared key, and what becomes of those without the right one.

source "$(dirname "$0")/lib.sh"
requires psktool nbdinfo nbdcopy qemu-img qemu-io
source "$(dirname "$0")/lib-tls.sh"
make_psk

head -c 3000000 /dev/urandom >"$work/data"
truncate -s 32M "$work/data"
cp "$work/data" "$work/image"
start_serve "$work/image" --tls-psk "$keys/keys.psk"

with_key() { echo "nbds+unix://$1@/?socket=$socket&tls-psk-file=$2/keys.psk"; }
qemu_with_key() {
  local program=$1 user=$2 folder=$3
  shift 3
  "$program" "$@" --object "tls-creds-psk,id=t,dir=$folder,endpoint=client,username=$user" \
    --image-opts "driver=nbd,server.type=unix,server.path=$socket,tls-creds=t"
}

expect_equal 'size' "$(nbdinfo --size "$(with_key alice "$keys")")" $((32 << 20))
expect_equal 'size for bob' "$(nbdinfo --size "$(with_key bob "$keys")")" $((32 << 20))
nbdcopy "$(with_key alice "$keys")" "$work/copy"
cmp "$work/data" "$work/copy"
expect_quiet_log
pass "nbdinfo and nbdcopy read over TLS-PSK"

head -c 5000000 /dev/urandom >"$work/data"
truncate -s 32M "$work/data"
nbdcopy "$work/data" "$(with_key alice "$keys")"
qemu_with_key qemu-img alice "$keys" info >"$work/info"
grep -q 'virtual size: 32 MiB' "$work/info"
qemu_with_key qemu-io alice "$keys" -c 'write -P 77 1M 300k' -c 'read -P 77 1M 300k' -c flush >"$work/io"
[[ $(grep -c ops "$work/io") -eq 2 ]] || fail "qemu-io: $(cat "$work/io")"
pass "nbdcopy, qemu-img and qemu-io write over TLS-PSK"

for user in alice carol; do
  : >"$serve_log"
  if timeout 20 nbdinfo "$(with_key $user "$keys/wrong")" 2>"$work/err"; then fail "$user got in"; fi
  grep -q "the client is not known.*'$user'" "$serve_log" || fail "no word of $user: $(cat "$serve_log")"
done
pass "a wrong key and an unknown user are refused, and the log names the user"

if timeout 20 nbdinfo "nbd+unix:///?socket=$socket" >/dev/null 2>&1; then fail "served in clear"; fi
if timeout 20 nbdcopy "nbd+unix:///?socket=$socket" - >"$work/leak" 2>/dev/null; then fail "read in clear"; fi
[[ ! -s $work/leak ]] || fail "bytes were given in clear"
pass "a client without TLS gets nothing"

# Keys change while the server runs.
psktool -u carol -p "$keys/keys.psk" >/dev/null 2>&1
expect_equal 'size for carol' "$(nbdinfo --size "$(with_key carol "$keys")")" $((32 << 20))
chmod 644 "$keys/keys.psk"
touch "$keys/keys.psk"
if timeout 20 nbdinfo --size "$(with_key alice "$keys")" 2>/dev/null; then fail "keys that others can read"; fi
grep -q 'others can get at its keys' "$serve_log" || fail "no word of the file: $(cat "$serve_log")"
pass "a new user gets in at once; with a file that others can read nobody does"
stop_serve

expect_refused 6 'others can get at its keys' "$NBDRING" serve memory:1M --unix "$work/s" \
  --tls-psk "$keys/keys.psk"
expect_refused 2 'No such file' "$NBDRING" serve memory:1M --unix "$work/s" --tls-psk "$keys/none"
expect_refused 2 'TLS needs keys' "$NBDRING" serve memory:1M --unix "$work/s" --tls require
expect_refused 2 'is not off, allow or require' "$NBDRING" serve memory:1M --unix "$work/s" --tls yes
pass "serve says what is wrong with its keys"

chmod 600 "$keys/keys.psk"
start_serve memory:1M --tls allow --tls-psk "$keys/keys.psk"
expect_equal 'in clear' "$(nbdinfo --size "nbd+unix:///?socket=$socket")" 1048576
expect_equal 'over TLS' "$(nbdinfo --size "$(with_key alice "$keys")")" 1048576
stop_serve
pass "--tls allow serves both"
