#!/bin/bash
# A device from each way to a server that is quick: TCP, a Unix socket, vsock, a command, a server of our own,
# a websocket.
# vm-timeout: 240
# check-kernel: 6.1
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

truncate -s 32M image
way() { use_device "$1" "${2:-2}"; }

start_server nbdkit -f -p 10809 file image
wait_for_port 10809
way nbd://127.0.0.1/ 4

start_server nbdkit -f -U "$SCRATCH/socket" file image
wait_for_socket "$SCRATCH/socket"
way "nbd+unix:///?socket=$SCRATCH/socket"

if modprobe vsock_loopback; then
  start_server nbdkit -f --vsock -p 10811 file image
  vsock_listens() { "$NBDRING" info nbd+vsock://1:10811/ >/dev/null 2>&1; }
  until_true 30 vsock_listens || fail "nobody listens on vsock: $(cat server.log)"
  way nbd+vsock://1:10811/
fi

way "nbd+ext:///?command=nbdkit%20-s%20file%20$SCRATCH/image"
way "exec:nbdkit file $SCRATCH/image"

start_server websocketd --port=10812 --address=127.0.0.1 --binary=true nbdkit -s file "$SCRATCH/image"
wait_for_port 10812
way ws://127.0.0.1:10812/

is leftovers "$(leftovers)" ''
echo "ok: every way"
