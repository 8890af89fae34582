#!/bin/bash
# TCP: IPv4, IPv6, a name with both, a port that nobody listens at, a name that is none.

source "$(dirname "$0")/ways-lib.sh"
make_source

# The address may be slow to be free again: nbdkit chooses among a few.
start_tcp_peer() {
  for port in $(shuf -i 20000-30000 -n 5); do
    start_peer nbdkit -f -i "$1" -p "$port" file "$work/image"
    tcp_is_up_or_gone() { [[ -n $(ss -Htln "sport = :$port") ]] || ! is_running "$peer_pid"; }
    wait_until 20 tcp_is_up_or_gone && is_running "$peer_pid" && return
    stop_peer
  done
  fail "nbdkit finds no port: $(cat "$work/peer.log")"
}

requires ss
hosts=(127.0.0.1)
! grep -qE '^0{31}1 ' /proc/net/if_inet6 2>/dev/null || hosts+=('[::1]')
is_localhost() { getent ahosts localhost | grep -q "^$address "; }
for host in "${hosts[@]}"; do
  address=${host//[\[\]]/}
  start_tcp_peer "$address"
  expect_way "nbd://$host:$port/"
  expect_quiet_log # no warning: it is this machine
  # A name may have both families, and the server only one of them.
  ! is_localhost || expect_equal "the size by name" "$(size_told "nbd://localhost:$port/")" "$size"
  expect_equal "the size with libvirt's word" "$(size_told "nbd+tcp://$host:$port/")" "$size"
  stop_peer
  expect_refused 5 "cannot reach $host:$port: connection refused" "$NBDRING" info "nbd://$host:$port/"
  ! is_localhost || expect_refused 5 "$address connection refused" "$NBDRING" info "nbd://localhost:$port/"
done
expect_refused 5 'cannot reach nbdring-nobody.invalid:10809' "$NBDRING" info nbd://nbdring-nobody.invalid/
pass "TCP to ${hosts[*]}"
