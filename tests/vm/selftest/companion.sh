#!/bin/bash
# vm-companion: companion-host.py
# vm-timeout: 30
set -euo pipefail
exec 4<>/dev/virtio-ports/companion
socat TCP-LISTEN:8080 SYSTEM:'read -r line; echo "$line" >/scratch/received; echo from the machine' &
server=$!
until ss -ltn | grep -q :8080; do sleep 0.05; done
echo "connect please" >&4
read -r -t 20 answer <&4
wait "$server"
echo "companion: $answer; over the port: $(cat /scratch/received)"
