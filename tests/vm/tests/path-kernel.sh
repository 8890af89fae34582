#!/bin/bash
# attach --path=kernel: the driver talks to the server itself, and the engine connects again. Verified writes go on
# without an I/O error while the network is away, the server is killed and started again, the engine is killed, and the
# device is upgraded; --force ends the device of a server that does not read. What it cannot do is refused.
# vm-timeout: 600
# check-kernel: 6.12
# vm-allow: (Buffer I/O error|I/O error, dev nbd|blk_update_request|Other side returned error)
# vm-allow: nbd[0-9]+: (Receive|Send) (control|data|disconnect) failed
# vm-allow: (Dead connection|Connection timed out|Possible stuck request|shutting down sockets)
# vm-allow: (lost async page write|Attempted send on invalid socket)
source "$(dirname "$0")/detach-functions.sh"
cd "$SCRATCH"

far() { ip netns exec far "$@"; }
link() { far ip link set far0 "$1"; }
value() { "$NBDRING" status "$device" --json | python3 -c "import json,sys; s=json.load(sys.stdin); print($1)"; }
reconnects() { value 's["remote"]["reconnects"]'; }
has_reconnects() { (($(reconnects) >= $1)); }
is_whole() { [[ $(value 's["state"]') == serving ]]; }
has_restarted() { [[ $(value 's["engine_restarts"]' 2>/dev/null) == "$1" ]]; }
process_of() { "$NBDRING" list --json | python3 -c "import json,sys; print(json.load(sys.stdin)[0]['$1'])"; }

modprobe veth
ip netns add far
ip link add near type veth peer name far0 netns far
ip address add 192.0.2.1/24 dev near
ip link set near up
far ip address add 192.0.2.2/24 dev far0
far ip link set far0 up
far ip link set lo up
truncate -s 64M image
reachable() { "$NBDRING" info nbd://192.0.2.2/ >/dev/null 2>&1; }
serve_far() {
  start_server ip netns exec far nbdkit -f -p 10809 file image
  until_true 30 reachable || fail "no server: $(cat server.log)"
}

write_verified() {
  fio --name=writes --filename="$device" --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=16k --size=6M \
    --rate=400k --fsync=32 --verify=crc32c --verify_fatal=1 --randseed=3 >fio.log 2>&1 &
  writer=$!
  sleep 2
}
is_verified() {
  kill -0 "$writer" 2>/dev/null || echo "note: the writes had ended before this"
  wait "$writer" || fail "$1: $(tail -n 20 fio.log)"
  until_true 20 is_whole || fail "$1: $("$NBDRING" status "$device")"
  echo "ok: $1: $(reconnects) connections replaced"
}

refusals() {
  refused 2 'TLS .* needs the engine; use --path auto' "$NBDRING" attach --path kernel nbds://192.0.2.2/
  refused 2 'TLS needs the engine' "$NBDRING" attach --path kernel --tls allow nbd://192.0.2.2/
  refused 2 'no NBD server .* needs the engine' "$NBDRING" attach --path kernel image
  refused 2 "layer 'cow' needs the engine" "$NBDRING" attach nbd://192.0.2.2/ --path kernel --layer cow
  refused 5 'cannot reach 192.0.2.2' "$NBDRING" attach --path kernel nbd://192.0.2.2:1/
  is "devices after refusals" "$(leftovers)" ''
}

# By a server that takes one connection, on a Unix socket.
read_only() {
  start_server nbdkit -f -r -U "$SCRATCH/ro.sock" --filter=multi-conn file image multi-conn-mode=disable
  wait_for_socket "$SCRATCH/ro.sock"
  refused 1 'one connection only' "$NBDRING" attach --path kernel -c 2 "nbd+unix:///?socket=$SCRATCH/ro.sock"
  attach --path kernel "nbd+unix:///?socket=$SCRATCH/ro.sock"
  is "connections of a server without multi-conn" "$(recorded connections)" 1
  is "read-only" "$(blockdev --getro "$device")" 1
  is "bytes" "$(blockdev --getsize64 "$device")" $((64 << 20))
  cmp -n $((8 << 20)) "$device" image || fail "other bytes"
  detach "$device"
  is "left by a read-only device" "$(leftovers)" ''
}

# outages CONNECTIONS
outages() {
  attach --path kernel -c "$1" --timeout 5 nbd://192.0.2.2/
  is "path" "$(recorded path)" kernel
  is "connections there" "$(far ss -Htn state established 'sport = :10809' | wc -l)" "$1"
  write_verified
  link down
  sleep 9
  link up
  is_verified "$1 connections, the network away for 9 s"

  write_verified
  stop_servers
  sleep 2
  serve_far
  is_verified "$1 connections, the server killed and started again"
  has_reconnects "$1" || fail "$(reconnects) reconnects"

  local engine
  engine=$(process_of pid)
  write_verified
  kill -9 "$engine"
  until_true 20 has_restarted 1 || fail "no other engine: $("$NBDRING" list)"
  stop_servers
  serve_far
  is_verified "$1 connections, the engine killed, then the server"
  has_reconnects "$1" || fail "the other engine has replaced $(reconnects)"

  write_verified
  "$NBDRING" upgrade --program "$NBDRING" "$device"
  is_verified "$1 connections, upgraded"
  refused 1 'cannot be resized: .*--path kernel' "$NBDRING" resize "$device"
  "$NBDRING" status "$device"
  "$NBDRING" list
  detach "$device"
  is "left after $1 connections" "$(leftovers)" ''
}

# Nobody looks after the device: it serves on, and says so to whoever wants it attached.
orphaned() {
  attach --path kernel nbd://192.0.2.2/
  local engine keeper
  engine=$(process_of pid)
  keeper=$(process_of keeper)
  kill -STOP "$keeper"
  kill -9 "$engine" "$keeper"
  until_true 10 bash -c "! pgrep '^nbdring' >/dev/null" || fail "somebody lives"
  dd if="$device" of=/dev/null bs=64k count=16 iflag=direct status=none || fail "it serves no longer"
  refused 1 'nobody has the connections .* detach it and attach it again' "$NBDRING" attach --path kernel \
    nbd://192.0.2.2/
  detach "$device"
  is "left by an orphan" "$(leftovers)" ''
}

# force WHAT COMMAND…: what has become of the server, or the engine, while writers fill the sockets.
force() {
  local what=$1
  shift
  attach --path kernel nbd://192.0.2.2/
  start_writers
  sleep 1
  "$@"
  sleep 1
  ends_in_time "$what" 6000
  writers_end
  is_gone
}
stop_server() { kill -STOP "${servers[-1]}"; }
stop_all() { kill -STOP "${servers[-1]}" "$(process_of pid)" "$(process_of keeper)"; }

serve_far
refusals
read_only
outages 1
outages 4
orphaned
force "a server that does not read" stop_server
stop_servers
serve_far
force "nor does anybody else" stop_all
stop_servers
serve_far
force "a server that has gone" stop_servers
is "left at the end" "$(leftovers)" ''
echo "ok: --path=kernel"
