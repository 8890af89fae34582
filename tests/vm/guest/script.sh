# How the job's script is run, watched and ended: sourced by guest/init, and by guest/systemd-unit.

log_marker() { echo "nbdring-vm: $*" >/dev/kmsg; }

# When the script takes too long: says where every task stands, before the host pulls the plug.
watch_time() {
  # Before everything that the script may have started, busy loops at nice -20 included.
  chrt --fifo --pid 10 "$BASHPID"
  sleep "$time_limit"
  log_marker "time limit"
  {
    echo
    echo "tests/vm/run: the time limit of $time_limit s is over; processes at that moment:"
    ps -e -o pid,ppid,stat,wchan:24,etime,args --forest | grep -v ' \[.*\]$'
  } >/run/vm-output
  echo w >/proc/sysrq-trigger
  finish 124
}

finish() {
  log_marker "end of script, status $1"
  [[ -z ${output_pid:-} ]] || stop_output
  echo "$1" >"$(port status)"
  sync -f /scratch
  echo o >/proc/sysrq-trigger
  sleep 60
}

# The device of a virtio port, by the name that the host gave it.
port() { grep -l "^$1$" /sys/class/virtio-ports/*/name | sed 's,.*ports/\(.*\)/name,/dev/\1,'; }

start_output() {
  mkfifo /run/vm-output
  cat /run/vm-output >"$(port output)" &
  output_pid=$!
  chrt --fifo --pid 10 "$output_pid"
  # Held open for the machine's life, so that the reader does not end with the first writer.
  exec 3>/run/vm-output
}

# A daemon that the script left behind may hold the pipe open for ever: the output gets one second.
stop_output() {
  exec 3>&-
  timeout 1 tail -s 0.02 --pid="$output_pid" -f /dev/null
  rm -f /run/vm-output
}

run_script() {
  local status=0
  log_marker "start of script"
  cd "$checkout" || exit 1
  env "${environment[@]}" setsid "${command[@]}" </dev/null >/run/vm-output 2>&1 3>&- || status=$?
  return "$status"
}
