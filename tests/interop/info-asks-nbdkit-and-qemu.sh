#!/bin/bash
# nbdring info against other programs' servers: one export, all of them, none of that name, a server
# without the newer options, one that is not there, one that is no NBD server.

source "$(dirname "$0")/lib.sh"
requires nbdkit qemu-nbd

value() { "$python" -c "import json,sys; print(json.load(sys.stdin)$1)"; }
asks() { timeout 20 "$NBDRING" info --json "$@" 2>"$work/warnings" </dev/null; }

# serve_other COMMAND…: a server of somebody else's on $socket; the one before it ends.
other_pid=''
at_exit+=('[[ -z $other_pid ]] || end_process "$other_pid"')
has_socket() { is_listening "$socket"; }
serve_other() {
  [[ -z $other_pid ]] || end_process "$other_pid"
  socket=$work/other
  uri="nbd+unix:///?socket=$socket"
  rm -f "$socket"
  "$@" >"$serve_log" 2>&1 &
  other_pid=$!
  wait_until 20 has_socket || fail "no socket after 20 s: $*"
}

socket=$work/other
truncate -s 10M "$work/image"

# ---- nbdkit: one export, no block sizes told
serve_other nbdkit -f -U "$socket" memory 64M
json=$(asks "$uri")
expect_equal size "$(value "['exports'][0]['size']" <<<"$json")" 67108864
expect_equal structured "$(value "['structured_replies']" <<<"$json")" True
expect_equal contexts "$(value "['base_allocation']" <<<"$json")" True
expect_equal told "$(value "['exports'][0]['block_size']['told']" <<<"$json")" False
expect_equal tls "$(value "['tls']" <<<"$json")" None
expect_equal flags "$(value "['exports'][0]['flags']" <<<"$json")" \
  "['flush', 'fua', 'trim', 'write-zeroes', 'fast-zero', 'df', 'multi-conn', 'cache']"
"$NBDRING" info "$uri" >"$work/text"
grep -q '^size  *67108864 bytes (64.0 MiB)$' "$work/text" || fail "no size in: $(cat "$work/text")"

# ---- nbdkit: several exports
cat >"$work/exports.sh" <<'SCRIPT'
#!/bin/bash
case $1 in
  list_exports) printf 'INTERLEAVED\nalpha\nthe first\nbeta gamma\n\nÜnal\nthe third\n' ;;
  open) case $3 in alpha | 'beta gamma' | Ünal) echo "$3" ;; *) echo "ENOENT no such disk" >&2; exit 1 ;; esac ;;
  get_size) [[ $2 == alpha ]] && echo 1M || echo 2M ;;
  pread) head -c "$3" /dev/zero ;;
  *) exit 2 ;;
esac
SCRIPT
chmod +x "$work/exports.sh"
serve_other nbdkit -f -U "$socket" sh "$work/exports.sh"
json=$(asks --list "$uri")
expect_equal names "$(value "['exports']" <<<"$json" >/dev/null; "$python" -c \
  "import json,sys; print([e['name'] for e in json.load(sys.stdin)['exports']])" <<<"$json")" \
  "['alpha', 'beta gamma', 'Ünal']"
expect_equal 'size of the first' "$(value "['exports'][0]['size']" <<<"$json")" 1048576
expect_equal 'description' "$(value "['exports'][2]['description']" <<<"$json")" 'the third'
expect_equal 'one by name' "$(asks "nbd+unix:///beta%20gamma?socket=$socket" | value "['exports'][0]['size']")" 2097152
"$NBDRING" info --list "$uri" >"$work/text"
expect_equal 'lines of the table' "$(grep -c "^'" "$work/text")" 3

# ---- qemu-nbd: a name, a description, block sizes, an unknown name
serve_other qemu-nbd -t -k "$socket" -f raw -x disk -D 'a qemu disk' -r "$work/image"
json=$(asks "nbd+unix:///disk?socket=$socket")
expect_equal description "$(value "['exports'][0]['description']" <<<"$json")" 'a qemu disk'
expect_equal read-only "$(value "['exports'][0]['read_only']" <<<"$json")" True
expect_equal told "$(value "['exports'][0]['block_size']" <<<"$json")" \
  "{'minimum': 1, 'preferred': 4096, 'maximum': 33554432, 'told': True}"
expect_equal listed "$(asks --list "$uri" | value "['exports'][0]['name']")" disk
expect_refused 4 "no export named 'other'" "$NBDRING" info "nbd+unix:///other?socket=$socket"

# ---- handshakes of long ago: without GO, without fixed newstyle, oldstyle
serve_other nbdkit -f -U "$socket" --mask-handshake=0 memory 1M
expect_equal 'not fixed' "$(asks "$uri" | value "['exports'][0]['size']")" 1048576
expect_refused 5 'cannot list its exports' "$NBDRING" info --list "$uri"
expect_refused 6 'no TLS, which is required' "$NBDRING" info --tls require --tls-hostname x "$uri"
serve_other nbdkit -f -U "$socket" --oldstyle memory 1M
expect_refused 5 'oldstyle' "$NBDRING" info "$uri"
serve_other nbdkit -f -U "$socket" --no-sr memory 1M
expect_equal 'simple replies' "$(asks "$uri" | value "['structured_replies']")" False

# ---- nobody, and somebody else
end_process "$other_pid" && other_pid=''
expect_refused 5 'cannot reach' "$NBDRING" info "nbd+unix:///?socket=$work/nothing"
port=$((20000 + RANDOM % 20000))
expect_refused 5 'connection refused' "$NBDRING" info "nbd://127.0.0.1:$port/"
expect_refused 5 'is no NBD server' "$NBDRING" info "nbd+ext:///?command=echo%20220%20mail.example.org%20ESMTP%3Bcat"
expect_refused 2 'more' "$NBDRING" info "$work/image" more

# ---- local backends
expect_equal local "$(asks "$work/image" | value "['exports'][0]['size']")" 10485760
pass "nbdkit, qemu-nbd, old handshakes, nobody, local backends"
