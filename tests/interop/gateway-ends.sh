#!/bin/bash
# How sessions end when something is wrong, and how they do not: sizes, hooks, a peer that is away.

source "$(dirname "$0")/gateway-lib.sh"
mkdir "$work/state.d"
cat >"$work/gateway.toml" <<TOML
[gateway]
insecure = true
state-dir = "$work/state.d"
hook-timeout = 1
[gateway.configurations.a]
socket = "$work/a.sock"
grace = 3
size-min = 1048576
size-max = 4194304
layers = ["offset=512"]
[gateway.configurations.b]
socket = "$work/b.sock"
grace = 60
TOML
make_image "$work/image" 2M
start_nbdkit good --filter=cow file "$work/image"
start_nbdkit small memory 64K
start_nbdkit large memory 8M
start_gateway --config "$work/gateway.toml"

# Sizes, told to the peer in words; the next one gets in.
start_peer small a small
too="^closed 4001 failed: the peer's disk has"
expect_event small "$too 65536 bytes, fewer than the configuration's 1048576 bytes$"
start_peer large a large
expect_event large "$too 8388608 bytes, more than the configuration's 4194304 bytes$"
start_peer fits a good
expect_serving "$work/a.sock"
tail -c +513 "$work/image" >"$work/behind"
expect_equal "behind the layer" "$(sha_through "$work/a.sock")" "$(sha "$work/behind")"
tell fits eject
expect_ended "$work/a.sock"
pass "size limits and layers"

# A hook that fails, and one that hangs and does not listen: 4001 with words, and the next session is possible.
hook() { printf '#!/bin/sh\n%s\n' "$1" >"$work/state.d/50-hook"; chmod 755 "$work/state.d/50-hook"; }
hook '[ "$1" = stop ] || { echo no such gadget >&2; exit 4; }'
start_peer failing a good
expect_event failing '^closed 4001 failed: the hook .*50-hook start failed: no such gadget \(exit status 4\)$'
expect_log 'hook: no such gadget'
hook 'trap "" TERM; [ "$1" = stop ] || while :; do sleep 0.1; done'
start_peer hanging a good
expect_event hanging '^closed 4001 failed: the hook .*50-hook start did not end within 1 s$' 30
hook 'exit 0'
start_peer after a good
expect_serving "$work/a.sock"
tell after eject
expect_ended "$work/a.sock"
pass "hooks that fail and hang"

# Away and back within the grace: a reader merely waits. Away for longer: the session is over.
start_peer page b good --image i1 --connections 2 --login b
expect_serving "$work/b.sock"
tell page drop
expect_log 'the peer is away; I/O waits for it for 60 s'
sha_through "$work/b.sock" >"$work/sha" &
reader=$!
sleep 2
is_running "$reader" || fail "the reader did not wait"
tell page back
wait "$reader" || fail "the reader saw an error: $(tail -n 5 "$gateway_log")"
expect_equal "what it read" "$(cat "$work/sha")" "$(sha "$work/image")"
expect_log 'the peer is back'
start_peer brief a good --image i2 --login a
expect_serving "$work/a.sock"
tell brief drop
expect_ended "$work/a.sock"
expect_log 'session ended: the peer was away for too long'
pass "away, and back"

# One that left without a word makes room for another one.
tell page drop
sleep 0.5
start_peer next b good --image other --login b
expect_event next '^open$'
expect_log 'session ended: another peer has taken its place'
is_right() { [[ $(sha_through "$work/b.sock" 2>/dev/null) == "$(sha "$work/image")" ]]; }
wait_until 20 is_right || fail "the next one does not serve"
stop_gateway
pass "another peer takes a place that was left"
