# One virtual machine: virtiofsd, a scratch disk, QEMU. Sourced by tests/vm/run; everything lives in $job_folder.

virtiofsd_program() {
  local candidate
  for candidate in /usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd; do
    [[ -x $candidate ]] && echo "$candidate" && return
  done
  fail "virtiofsd is not installed: run tools/setup"
}

# Gives the guest the host's root. Dies with its only client, QEMU.
start_virtiofsd() {
  local program arguments
  program=$(virtiofsd_program)
  if [[ $program == /usr/libexec/* ]]; then
    arguments=(--shared-dir / --cache always --sandbox none)
  else
    # The other sandbox pivots its root, which "/" as the shared folder refuses.
    arguments=(-f -o source=/ -o sandbox=chroot -o cache=always -o log_level=err)
  fi
  rm -f "$job_folder/virtiofs.socket"
  "$program" --socket-path="$job_folder/virtiofs.socket" "${arguments[@]}" \
    >"$job_folder/virtiofsd.log" 2>&1 </dev/null &
  virtiofsd_pid=$!
  local tries=0
  until [[ -S $job_folder/virtiofs.socket ]]; do
    kill -0 "$virtiofsd_pid" 2>/dev/null && ((++tries < 100)) ||
      { cat "$job_folder/virtiofsd.log" >&2; fail "virtiofsd did not start"; }
    sleep 0.05
  done
}

make_scratch_disk() {
  scratch_disk=$(mktemp "${TMPDIR:-/var/tmp}/nbdring-vm-scratch.XXXXXX")
  truncate -s "${scratch_gigabytes}G" "$scratch_disk"
  mke2fs -q -F -t ext4 -E lazy_itable_init=1,lazy_journal_init=1,nodiscard "$scratch_disk"
}

# What the guest reads to know its work: bash, written with quoting that survives any name.
write_job() {
  local variable
  environment=("HOME=/root" "SCRATCH=/scratch" "TERM=${TERM:-dumb}" "NBDRING=$checkout/build/nbdring"
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
  for variable in ${!NBDRING*}; do environment+=("$variable=${!variable}"); done
  write_job_file
}

write_job_file() {
  declare -p checkout kernel_folder time_limit environment command interactive rows columns companion init \
    >"$job_folder/job"
}

# How the machine knows the time: see lib/tsc_khz. Without it: an emulated timer, right but slow to read.
clock_arguments() {
  local khz
  if [[ $accelerator != tcg* ]]; then
    return
  elif khz=$("$vm_folder/lib/tsc_khz" 2>/dev/null); then
    echo "tsc_early_khz=$khz tsc=reliable"
  else
    echo "tsc=unstable clocksource=hpet"
  fi
}

start_qemu() {
  local version
  version=$(<"$kernel_folder/version")
  local kernel_arguments=(
    console=ttyS0 loglevel=7 panic=-1 oops=panic
    # An emulated processor on a busy host is late without being ill: these would say so in the log.
    # ("IO-APIC + timer doesn't work!" is such a panic, at boot: the timer's ticks came too late to be believed.)
    nosoftlockup nowatchdog rcupdate.rcu_cpu_stall_suppress=1 no_timer_check
    "$(clock_arguments)"
    # QEMU before 8.1 translates code without holding its page: a processor can meet the breakpoint of a code patch that
    # is long over ("Oops: int3"). Most patches happen while booting, so there is one processor then.
    maxcpus=1
    mitigations=off random.trust_cpu=on audit=0 net.ifnames=0
    "vm.init=$vm_folder/guest/init" "vm.job=$job_folder")
  local output=(-chardev "file,id=output,path=$job_folder/output")
  [[ $interactive == yes ]] && output=(-chardev stdio,id=output,signal=off)
  local port=virtserialport,name=output
  [[ $interactive == yes ]] && port=virtconsole
  # The name "nbdring-vm" is there to be seen in ps.
  local arguments=(
    -name "nbdring-vm-$version" -nodefaults -no-user-config -display none -no-reboot
    -machine q35,memory-backend=memory -accel "${accelerator}" -cpu max -smp "$processors" -m "$memory"
    -object "memory-backend-memfd,id=memory,size=${memory}M,share=on"
    -kernel "$kernel_folder/vmlinux" -initrd "$job_folder/initramfs" -append "${kernel_arguments[*]}"
    -chardev "socket,id=host,path=$job_folder/virtiofs.socket"
    -device vhost-user-fs-pci,chardev=host,tag=host,queue-size=1024
    -drive "file=$scratch_disk,if=none,id=scratch,format=raw,cache=unsafe,aio=threads,discard=unmap"
    -device virtio-blk-pci,drive=scratch
    -chardev "file,id=log,path=$job_folder/kernel.log,append=on" -serial chardev:log
    -device virtio-serial-pci "${output[@]}" -device "$port,chardev=output"
    -chardev "file,id=status,path=$job_folder/status" -device virtserialport,name=status,chardev=status)
  mapfile -t -O "${#arguments[@]}" arguments < <(companion_arguments && systemd_arguments)
  if [[ $interactive == yes ]]; then
    qemu-system-x86_64 "${arguments[@]}" 2>"$job_folder/qemu.log" || true
  else
    qemu-system-x86_64 "${arguments[@]}" >/dev/null 2>"$job_folder/qemu.log" </dev/null &
    qemu_pid=$!
  fi
}

# True when the emulator ended the machine by that race (nothing of ours, and no other fault looks like it), or before
# there was anything of ours in it.
emulator_failed() {
  [[ $accelerator == tcg* ]] || return 1
  ! grep -aq 'nbdring-vm: start of script' "$job_folder/kernel.log" ||
    grep -aqE '(Oops: |\] )int3: 0000 \[#' "$job_folder/kernel.log"
}

stop_machine() {
  local pid
  for pid in ${companion_pid:-} ${qemu_pid:-} ${virtiofsd_pid:-} ${output_pid:-}; do
    kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
  done
  [[ -z ${scratch_disk:-} ]] || rm -f "$scratch_disk"
  [[ -z ${job_folder:-} ]] || rm -rf "$job_folder"
  qemu_pid='' virtiofsd_pid='' output_pid='' companion_pid='' scratch_disk='' job_folder=''
}
