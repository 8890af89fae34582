#!/bin/bash
# nbds:// with a pre-shared key, from nbdkit and from qemu-nbd, over one connection and four: a file system, verified.
# vm-timeout: 300
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

make_psk
truncate -s 32M kit.image qemu.image
start_server nbdkit -f -p 10809 --tls=require --tls-psk=keys/keys.psk file kit.image
start_server qemu-nbd -f raw -p 10810 --shared=8 --persistent --tls-creds=tls0 \
  --object tls-creds-psk,id=tls0,endpoint=server,dir="$SCRATCH/keys" qemu.image
wait_for_port 10809
wait_for_port 10810
for connections in 1 4; do
  use_device "nbds://alice@localhost/?tls-psk-file=$SCRATCH/keys/keys.psk" "$connections"
  use_device "nbds://alice@localhost:10810/?tls-psk-file=$SCRATCH/keys/keys.psk" "$connections"
done
refused 6 bob "$NBDRING" attach "nbds://bob@localhost/?tls-psk-file=$SCRATCH/keys/keys.psk"
is leftovers "$(leftovers)" ''
echo "ok: TLS with a pre-shared key"
