#!/bin/bash
# `nbdring proxy`, and `nbd-proxy`: one session over standard input and output, with nbdkit at the other end.

source "$(dirname "$0")/gateway-lib.sh"
mkdir "$work/bin"
ln -s "$NBDRING" "$work/bin/nbd-proxy"
make_image "$work/image" 2M
make_hooks "$work/state.d" 10-first
cat >"$work/config.json" <<JSON
{ "timeout": 30, "configurations": {
  "0": { "socket": "$work/front", "default": true, "metadata": { "description": "Virtual media device" } },
  "1": { "socket": "$work/other" } } }
JSON
# Both ends of a socketpair, or two pipes, as websocketd has them. Ends as the proxy does.
cat >"$work/over.py" <<'PY'
import os, socket, subprocess, sys
how, proxy, server = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()
if how == 'socket':
    ours, theirs = socket.socketpair()
    ends = [theirs, theirs, ours, ours]
else:
    (a, b), (c, d) = os.pipe(), os.pipe()
    ends = [a, d, c, b]
child = subprocess.Popen(proxy, stdin=ends[0], stdout=ends[1])
peer = subprocess.Popen(server, stdin=ends[2], stdout=ends[3])
for end in set(ends):
    os.close(end) if isinstance(end, int) else end.close()
print(child.pid, peer.pid, flush=True)
sys.exit(child.wait())
PY
# start_proxy socket|pipes SERVER ARGS…: sets runner, proxy, server.
start_proxy() {
  local how=$1 serving=$2
  shift 2
  : >"$work/pids"
  "$python" "$work/over.py" "$how" "$work/bin/nbd-proxy --json-config $work/config.json --state-dir $work/state.d $*" \
    "$serving" >"$work/pids" 2>>"$gateway_log" &
  runner=$!
  wait_until 20 test -s "$work/pids" || fail "no proxy"
  read -r proxy server <"$work/pids"
  at_exit+=("kill -KILL $proxy $server 2>/dev/null")
}
# expect_end STATUS
expect_end() {
  local status=0
  wait_until 20 has_ended "$proxy" || fail "the proxy does not end"
  wait "$runner" || status=$?
  expect_equal "the exit status" "$status" "$1"
}
nbdkit="nbdkit -s --filter=cow file $work/image"

expect_equal metadata "$("$work/bin/nbd-proxy" --metadata --json-config "$work/config.json")" \
  '{ "0": { "description": "Virtual media device" }, "1": null }'
expect_refused 4 "no configuration '7'" "$NBDRING" proxy 7 --json-config "$work/config.json"
expect_refused 2 "pipes or sockets" "$NBDRING" proxy --json-config "$work/config.json"
expect_refused 1 "/nosuch.json" "$NBDRING" proxy --json-config "$work/nosuch.json"

for how in socket pipes; do
  start_proxy "$how" "$nbdkit"
  expect_serving "$work/front"
  expect_equal "through $how" "$(sha_through "$work/front")" "$(sha "$work/image")"
  qemu-io -f raw -c 'write -P 7 64k 64k' -c flush -c 'read -P 7 64k 64k' \
    "nbd+unix:///?socket=$work/front" >/dev/null || fail "written data is not there"
  kill -TERM "$proxy"
  expect_end 0
  [[ ! -e $work/front ]] || fail "the socket is left over"
done
expect_equal "the hooks" "$(cut -d ' ' -f 1-5 "$work/hooks")" "$(for _ in 1 2; do
  printf '10-first start 0 0 2097152\n10-first stop 0 0 2097152\n'
done)"
pass "a session over a socket and over pipes"

# The other end goes: the session is over, and nothing spins.
start_proxy pipes "$nbdkit" 1
expect_serving "$work/other"
kill -KILL "$server"
expect_end 0
pass "the end of standard input ends it"

# A hook that fails, and one that hangs: ended, undone, a line, an exit status.
printf '#!/bin/sh\n[ "$1" = stop ] || exit 9\n' >"$work/state.d/20-fails"
chmod 755 "$work/state.d/20-fails"
start_proxy pipes "$nbdkit"
expect_end 1
expect_log '20-fails start failed: exit status 9'
expect_equal "the last hook" "$(tail -n 1 "$work/hooks" | cut -d ' ' -f 1-3)" "10-first stop 0"
pass "a hook that fails"

# No NBD server at the other end, one that says nothing and goes, one without words: no spinning, a status.
start_proxy pipes "echo this is no NBD server at all"
expect_end 5
start_proxy pipes true
expect_end 5
pass "other ends that are none"
