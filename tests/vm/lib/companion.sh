# A program on the host that plays a part in a test: a browser far away, say. Sourced by tests/vm/run.
#
# A script asks for it with `# vm-companion: PROGRAM`. Its two ways to the machine:
#   NBDRING_VM_PORT     a TCP port of this host (127.0.0.1) that is the machine's port 8080
#   NBDRING_VM_SOCKET   a Unix socket that is the machine's /dev/virtio-ports/companion: lines, both ways
#   NBDRING_VM_SERVER   a Unix socket that it may listen on: the machine reaches it at 10.0.2.100, port 10809
# It is killed when the machine has ended; what it prints is shown beside a failure.

# Nothing reserves a port for QEMU: when another program was quicker the machine is started again (emulator_failed).
free_port() {
  python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# One of QEMU's arguments per line.
companion_arguments() {
  [[ -n $companion ]] || return 0
  local server="guestfwd=tcp:10.0.2.100:10809-cmd:socat -lf /dev/null - UNIX-CONNECT:$job_folder/server.socket"
  companion_port=$(free_port)
  echo "$companion_port" >"$job_folder/companion.port"
  printf '%s\n' \
    -netdev "user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:$companion_port-:8080,$server" \
    -device virtio-net-pci,netdev=net,romfile= \
    -chardev "socket,id=companion,path=$job_folder/companion.socket,server=on,wait=off" \
    -device virtserialport,name=companion,chardev=companion
}

start_companion() {
  [[ -n $companion && $interactive == no ]] || return 0
  local program
  program=$(dirname "${command[0]}")/$companion
  NBDRING_VM_PORT=$(<"$job_folder/companion.port") NBDRING_VM_SOCKET=$job_folder/companion.socket \
    NBDRING_VM_SERVER=$job_folder/server.socket \
    "$program" >"$job_folder/companion.log" 2>&1 </dev/null &
  companion_pid=$!
}

show_companion() {
  [[ -s $job_folder/companion.log ]] || return 0
  note "what the companion printed:"
  tail -n 60 "$job_folder/companion.log" >&2
}
