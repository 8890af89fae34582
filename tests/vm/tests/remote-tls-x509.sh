#!/bin/bash
# nbds:// with certificates on both sides, over one connection and four: a file system, verified. And a server that
# does not know us, or that we do not.
# vm-timeout: 240
# check-kernel: 6.12
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

make_certificates
truncate -s 32M image
start_server nbdkit -f -p 10809 --tls=require --tls-certificates="$SCRATCH/pki-server" --tls-verify-peer file image
wait_for_port 10809
for connections in 1 4; do
  use_device "nbds://localhost/?tls-certificates=$SCRATCH/pki-client" "$connections"
done

mkdir -m 700 without
cp ca/ca-cert.pem without/
refused 6 'certificate' "$NBDRING" attach "nbds://localhost/?tls-certificates=$SCRATCH/without"
refused 6 'certificate' "$NBDRING" attach nbds://localhost/
refused 6 'TLS' "$NBDRING" attach nbd://localhost/
is leftovers "$(leftovers)" ''
echo "ok: TLS with certificates"
