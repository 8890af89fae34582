#!/bin/bash
# A remote served by nbd-server: it knows no structured replies and no extents, and in older versions nothing but
# NBD_OPT_EXPORT_NAME; options in its configuration give and take flags.

source "$(dirname "$0")/remote-servers-lib.sh"
requires fio nbd-server

at_exit+=('end_nbd_server')
has_pid() { [[ -s $work/pid ]]; }
end_nbd_server() {
  [[ -s $work/pid ]] || return 0
  kill -KILL "$(cat "$work/pid")" 2>/dev/null || true
  rm -f "$work/pid"
}

port=$((20000 + RANDOM % 20000))
cat >"$work/config" <<END
[generic]
listenaddr = 127.0.0.1
port = $port
allowlist = true
[full]
exportname = $work/image
flush = true
fua = true
trim = true
[bare]
exportname = $work/bare
[fixed]
exportname = $work/image
readonly = true
[copy]
exportname = $work/image
copyonwrite = true
cowdir = $work
END
truncate -s 8M "$work/image" "$work/bare"
nbd-server -C "$work/config" -p "$work/pid" >"$work/peer.log" 2>&1 || fail "nbd-server does not start"
wait_until 20 has_pid || fail "nbd-server wrote no pid"

export_of() { remote="nbd://127.0.0.1:$port/$1"; }

export_of full
expect_told "$remote" 8388608 +flush +fua +trim -df -read-only
"$NBDRING" info "$remote" | grep -q '^replies  *simple$' || fail "no word of simple replies"
start_serve "$remote"
exercise
verify
nbdcopy "$uri" "$work/back"
stop_serve
expect_quiet_log
cmp "$work/image" "$work/back" || fail "the file has other bytes"
pass "with flush, FUA and trim"

export_of bare
expect_told "$remote" 8388608 -flush -fua -trim
start_serve "$remote"
exercise
verify
nbdcopy "$uri" "$work/back"
stop_serve
cmp "$work/bare" "$work/back" || fail "the file has other bytes"
pass "without flags"

export_of fixed
expect_told "$remote" 8388608 +read-only
start_serve "$remote"
nbdcopy "$uri" "$work/back"
cmp "$work/image" "$work/back" || fail "other bytes of a read-only export"
expect_errno 'EPERM pwrite 4096 0'
stop_serve
pass "read-only"

export_of copy
before=$(sha "$work/image")
start_serve "$remote"
exercise "$uri"
stop_serve
expect_equal "the image below its copy" "$(sha "$work/image")" "$before"
pass "copy on write: one connection, so every client of ours sees one copy"
