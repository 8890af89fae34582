#!/bin/bash
# A device through a real sshd, to a Unix socket on its side. ssh goes when the device does.
# vm-timeout: 240
# check-kernel: 6.1
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

truncate -s 32M image
start_server nbdkit -f -U "$SCRATCH/socket" file image
wait_for_socket "$SCRATCH/socket"
mkdir -p -m 700 ssh /run/sshd
ssh-keygen -q -t ed25519 -N '' -f ssh/host
ssh-keygen -q -t ed25519 -N '' -f ssh/user
cp ssh/user.pub ssh/authorized
printf '%s\n' "HostKey $SCRATCH/ssh/host" "AuthorizedKeysFile $SCRATCH/ssh/authorized" 'StrictModes no' 'UsePAM no' \
  'PermitRootLogin prohibit-password' 'ListenAddress 127.0.0.1' >ssh/sshd_config
start_server /usr/sbin/sshd -D -e -p 2222 -f "$SCRATCH/ssh/sshd_config"
wait_for_port 2222
# The quickest that both sides can do: the machine is emulated.
printf '%s\n' '#!/bin/sh' "exec ssh -F none -o UserKnownHostsFile=$SCRATCH/ssh/known \\" \
  '  -o StrictHostKeyChecking=accept-new -o KexAlgorithms=curve25519-sha256 "$@"' >ssh/ssh
chmod +x ssh/ssh

use_device "nbd+ssh://root@127.0.0.1:2222/?socket=$SCRATCH/socket&command=$SCRATCH/ssh/ssh&keyfile=$SCRATCH/ssh/user" 1
is leftovers "$(leftovers)" ''
is 'ssh clients' "$(pgrep -fc '^ssh -F none' || true)" 0
echo "ok: ssh"
