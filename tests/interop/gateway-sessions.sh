#!/bin/bash
# Two sessions at once behind one gateway: each with its own peer, front, hooks and end.

source "$(dirname "$0")/gateway-lib.sh"
make_hooks "$work/state.d" 10-first 20-second
echo 'exit 1' >"$work/state.d/README" # not executable: no hook
cat >"$work/gateway.toml" <<TOML
[gateway]
insecure = true
state-dir = "$work/state.d"
[gateway.configurations.cd]
socket = "$work/cd.sock"
read-only = true
grace = 5
metadata = { description = "Virtual CD" }
[gateway.configurations.hd]
socket = "$work/hd.sock"
path = "/vm/hd"
default = true
grace = 5
TOML
make_image "$work/cd.img" 3M
make_image "$work/hd.img" 5M
start_nbdkit cd file "$work/cd.img"
start_nbdkit hd --filter=cow file "$work/hd.img"
start_gateway --config "$work/gateway.toml"

start_peer cd cd cd
expect_serving "$work/cd.sock"
start_peer hd vm/hd hd --connections 3 --image hd-1 --login hd
expect_serving "$work/hd.sock"
expect_equal "the CD" "$(sha_through "$work/cd.sock")" "$(sha "$work/cd.img")"
expect_equal "the disk" "$(sha_through "$work/hd.sock")" "$(sha "$work/hd.img")"
nbdinfo --is read-only "nbd+unix:///?socket=$work/cd.sock" || fail "the CD can be written"
[[ $(stat -c %a "$work/hd.sock") == 600 ]] || fail "others may connect to the socket"
qemu-io -f raw -c 'write -P 7 64k 64k' -c flush -c 'read -P 7 64k 64k' \
  "nbd+unix:///?socket=$work/hd.sock" >/dev/null || fail "written data is not there"
pass "two peers, two fronts"

# Another peer cannot have what one has; it is told so.
start_peer other cd cd
expect_event other '^refused 409$'
pass "a second peer is refused"

# An eject of one ends it, and not the other.
tell cd eject
expect_ended "$work/cd.sock"
expect_log 'session ended: ejected by the peer.*cd'
expect_equal "the disk afterwards" "$(sha_through "$work/hd.sock" | wc -c)" 65
start_peer again cd cd
expect_serving "$work/cd.sock"
expect_equal "the CD again" "$(sha_through "$work/cd.sock")" "$(sha "$work/cd.img")"
pass "a session after a session"

# The hooks: in order, backwards at the end, with what there is to know.
cd_line="cd cd 3145728 1 $work/cd.sock"
hd_line="hd hd 5242880 0 $work/hd.sock"
stop_gateway
expect_event hd '^closed 1001 the gateway ends$'
printf '%s\n' "10-first start $cd_line" "20-second start $cd_line" \
  "20-second stop $cd_line" "10-first stop $cd_line" \
  "10-first start $cd_line" "20-second start $cd_line" \
  "20-second stop $cd_line" "10-first stop $cd_line" >"$work/wanted"
grep ' cd cd ' "$work/hooks" | diff "$work/wanted" - || fail "the CD's hooks"
printf '%s\n' "10-first start $hd_line" "20-second start $hd_line" \
  "20-second stop $hd_line" "10-first stop $hd_line" >"$work/wanted"
grep ' hd hd ' "$work/hooks" | diff "$work/wanted" - || fail "the disk's hooks"
[[ ! -e $work/cd.sock && ! -e $work/hd.sock ]] || fail "sockets are left over"
pass "hooks in their order"
