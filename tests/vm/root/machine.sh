# The machine whose root file system is on the device, and the server that it is at: sourced by run.

start_server() {
  nbdkit --foreground --ipaddr 127.0.0.1 --port "$1" "${@:2}" file "$job_folder/image" \
    >>"$job_folder/nbdkit.log" 2>&1 </dev/null &
  servers+=($!)
}

start_servers() {
  servers=()
  start_server "$tls_port" --tls=require --tls-psk="$job_folder/keys.psk"
  start_server "$plain_port"
}

kill_servers() {
  kill -9 "${servers[@]}"
  wait "${servers[@]}" 2>/dev/null || true
  servers=()
}

# Starts QEMU; more words for the kernel's command line.
start_machine() {
  local version kernel_arguments arguments
  version=$(<"$kernel_folder/version")
  kernel_arguments=(
    console=ttyS0 loglevel=6 panic=-1 oops=panic
    # See lib/machine.sh.
    nosoftlockup nowatchdog rcupdate.rcu_cpu_stall_suppress=1 no_timer_check "$(clock_arguments)" maxcpus=1
    mitigations=off random.trust_cpu=on audit=0 net.ifnames=0 systemd.default_timeout_start_sec=300
    ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off "$@")
  arguments=(
    -name "nbdring-root-$version" -nodefaults -no-user-config -display none -no-reboot
    -machine q35 -accel "$accelerator" -cpu max -smp 2 -m 768
    -kernel "$kernel_folder/vmlinux" -initrd "$job_folder/initramfs" -append "${kernel_arguments[*]}"
    -netdev user,id=net,ipv6=off -device virtio-net-pci,netdev=net,romfile=
    -chardev "file,id=log,path=$job_folder/console.log,append=on" -serial chardev:log
    -device virtio-serial-pci
    -chardev "pipe,id=agent,path=$job_folder/agent" -device virtserialport,name=agent,chardev=agent)
  ((++machines))
  [[ ! -e $job_folder/console.log ]] || mv "$job_folder/console.log" "$job_folder/console-$machines.log"
  # New ones for each: whoever was started meanwhile has the old ones open, with what nobody read.
  rm -f "$job_folder"/agent.{in,out}
  mkfifo "$job_folder"/agent.{in,out}
  qemu-system-x86_64 "${arguments[@]}" >"$job_folder/qemu.log" 2>&1 </dev/null &
  qemu_pid=$!
  exec {to_agent}<>"$job_folder/agent.in" {from_agent}<>"$job_folder/agent.out"
}

# The agent's next line within so many seconds, in $line.
hear() {
  local part deadline=$((SECONDS + $1))
  line=''
  until IFS= read -r -t 5 -u "$from_agent" part; do
    line+=$part
    kill -0 "$qemu_pid" 2>/dev/null || fail "the machine has ended: $(<"$job_folder/qemu.log")"
    ((SECONDS < deadline)) || return 1
  done
  line+=$part
}

wait_for_boot() {
  local start=$SECONDS
  hear "${1:-300}" && [[ $line == ready ]] || fail "the machine did not boot in ${1:-300} s"
  say "booted after $((SECONDS - start)) s"
}

# Runs a bash script in the machine; prints what it printed, returns its exit status. GUEST_SECONDS: its time, 300.
guest() {
  base64 -w 0 <<<"$1" >&"$to_agent"
  echo >&"$to_agent"
  hear "${GUEST_SECONDS:-300}" || fail "the machine did not answer in ${GUEST_SECONDS:-300} s: $1"
  base64 -d <<<"${line#* }"
  return "${line%% *}"
}

# Starts something that ends the machine, and so never answers.
guest_last() { base64 -w 0 <<<"$1" >&"$to_agent"; echo >&"$to_agent"; }

wait_for_power_off() {
  local deadline=$((SECONDS + 300))
  while kill -0 "$qemu_pid" 2>/dev/null; do
    ((SECONDS < deadline)) || fail "the machine did not go down in 300 s"
    sleep 0.2
  done
  wait "$qemu_pid" || true
  qemu_pid=''
  exec {to_agent}>&- {from_agent}>&-
}

# What the file system says of itself once the machine is off.
check_image() {
  dumpe2fs -h "$job_folder/image" 2>/dev/null >"$job_folder/dumpe2fs"
  ! grep -q needs_recovery "$job_folder/dumpe2fs" || fail "the file system was not unmounted: its journal has work"
  grep -q 'Filesystem state: *clean$' "$job_folder/dumpe2fs" || fail "the file system is not clean"
  e2fsck -fn "$job_folder/image" >"$job_folder/e2fsck" 2>&1 || { cat "$job_folder/e2fsck"; fail "e2fsck finds errors"; }
  say "the file system is clean"
}

# See lib/machine.sh: such a machine says nothing about us.
emulator_was_ill() {
  [[ $accelerator == tcg* && -e $job_folder/console.log ]] || return 1
  ! grep -aq "Loading, please wait" "$job_folder/console.log" ||
    grep -aqE '(Oops: |\] )int3: 0000 \[#' "$job_folder/console.log"
}

# However the run ends: once more where that was the emulator's doing.
finish() {
  local status=$? again=no
  ((status != 1 || attempt >= 3)) || ! emulator_was_ill || again=yes
  stop_all
  [[ $again == no ]] || NBDRING_VM_ATTEMPT=$((attempt + 1)) exec "$0" "${words[@]}"
}

check_console() {
  local pattern lines
  pattern=$(IFS='|' && echo "${kernel_log_errors[*]}")
  lines=$(cat "$job_folder"/console*.log | tr -d '\r' | grep -aE "$pattern" | { grep -avE "$1" || true; })
  [[ -z $lines ]] || fail "the kernel logged errors: $lines"
}

stop_all() {
  local pid
  for pid in ${qemu_pid:-} "${servers[@]}"; do
    kill -9 "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
  done
  if [[ -n ${NBDRING_KEEP:-} ]]; then
    note "left in $job_folder"
  else
    rm -rf "$job_folder"
  fi
}

# SECONDS MESSAGE COMMAND…
wait_until() {
  local deadline=$((SECONDS + $1)) message=$2
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || fail "$message"
    sleep 0.2
  done
}
