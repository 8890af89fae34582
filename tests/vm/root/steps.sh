# What happens to the machine whose root file system is on the device: sourced by run.

# The value of a field of the device's record.
record_field() { guest 'nbdring list --json' | sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }

expect() {
  local wanted=$1 got=$2
  [[ $got == "$wanted" ]] || fail "${3:-the machine} says '$got', not '$wanted'"
}

step_came_up() {
  guest 'systemctl is-system-running --wait; systemctl --failed' || fail "the system is not well"
  expect 43:0 "$(guest 'findmnt -no MAJ:MIN / | tr -d " "')" findmnt
  expect "$1" "$(record_field backend)" list
  guest 'nbdring status /dev/nbd0 >/dev/null' || fail "status does not reach the engine of the initramfs"
  expect '' "$(guest 'systemctl list-units --all --no-legend "nbdring@*"')" "the list of units"
  expect 0 "$(guest 'grep -c /run/nbdring/root /proc/1/mountinfo')" "the system's mount table"
  expect_marks
}

# Those of the start, of a crash, of an upgrade.
expect_marks() {
  local field
  for field in pid keeper; do
    expect @ "$(guest "head -c 1 /proc/$(record_field $field)/cmdline")" "the name of the process '$field'"
  done
}

# Many small files, a few large ones, and what dpkg does: each with a checksum, and all of it synced.
step_is_written() {
  guest '
    set -e
    mkdir -p /srv/load /var/tmp/package/usr/share/load /var/tmp/package/DEBIAN
    for i in $(seq 300); do head -c $((RANDOM + 100)) /dev/urandom >/srv/load/small-$i; done
    for i in 1 2 3; do head -c 16M /dev/urandom >/srv/load/large-$i; done
    cp /srv/load/small-[1-9]* /var/tmp/package/usr/share/load/
    printf "Package: load\nVersion: 1\nArchitecture: all\nMaintainer: nobody <x@y.z>\nDescription: load\n" \
      >/var/tmp/package/DEBIAN/control
    dpkg-deb -Znone -b /var/tmp/package /var/tmp/load.deb >/dev/null
    dpkg -i /var/tmp/load.deb >/dev/null 2>&1
    find /srv/load /usr/share/load -type f -exec sha256sum {} + >/srv/sums
    sync'
  say "written"
}

expect_files() {
  guest 'echo 3 >/proc/sys/vm/drop_caches; sha256sum --quiet -c /srv/sums' ||
    fail "files are damaged"
}

# A writer in the background of what the function named does; its files are verified.
beside_a_writer() {
  guest 'cat >/usr/local/sbin/writer <<"END"
#!/bin/bash
set -e
rm -f /srv/stop
for ((i = 0; ; i++)); do
  head -c 200000 /dev/urandom | tee /srv/written | sha256sum | cut -c 1-64 >/srv/written.sum
  sync -d /srv/written
  [[ $(dd if=/srv/written iflag=direct bs=256k status=none | sha256sum | cut -c 1-64) == $(</srv/written.sum) ]]
  [[ ! -e /srv/stop ]] || break
done
echo "$((i + 1)) rounds"
END
    chmod +x /usr/local/sbin/writer
    systemd-run --quiet --unit=writer --remain-after-exit /usr/local/sbin/writer'
  "$@"
  guest '
    touch /srv/stop
    until systemctl show -p SubState writer | grep -qE "exited|failed"; do sleep 0.1; done
    systemctl show -p Result writer | grep -q success || { systemctl status writer; exit 1; }
    journalctl -u writer -o cat -n 1 | grep rounds
    systemctl stop writer' || fail "the writer met an error"
  say "beside a writer: ${1#step_}"
}

step_server_lost() {
  kill_servers
  sleep 4
  start_servers
}

# No page of the root file system is in the cache when the engine is needed again.
step_engine_killed() {
  local pid
  pid=$(record_field pid)
  guest "echo 3 >/proc/sys/vm/drop_caches; kill -9 $pid; dd if=/dev/zero of=/srv/after bs=4k count=1 oflag=sync 2>&1" ||
    fail "no writing after the engine was killed"
  [[ $(record_field pid) != "$pid" ]] || fail "the record names the dead engine"
  guest 'nbdring status /dev/nbd0 | grep -i stall'
}

# The engine starts another keeper from where it lives itself.
step_keeper_killed() {
  local keeper
  keeper=$(record_field keeper)
  guest "echo 3 >/proc/sys/vm/drop_caches; kill -9 $keeper"
  wait_until 20 "the engine has no other keeper" has_another_keeper "$keeper"
}

has_another_keeper() {
  local keeper
  keeper=$(record_field keeper)
  [[ $keeper != "$1" && $keeper != 0 ]]
}

keeper_has_new_program() {
  [[ $(guest 'sha256sum </usr/bin/nbdring') == "$(guest "sha256sum </proc/$(record_field keeper)/exe")" ]]
}

# The keeper becomes the new program a moment after the new engine has taken over.
step_upgraded() {
  guest 'echo >>/usr/bin/nbdring; nbdring upgrade /dev/nbd0' || fail "no upgrade"
  wait_until 20 "the keeper's program is not the new one" keeper_has_new_program
}

# SIGTERM, as often as one likes, does not take the root file system away.
step_not_ended_by_sigterm() {
  guest '
    for i in 1 2; do kill -TERM $(pidof nbdring); sleep 1; done
    sync
    nbdring status /dev/nbd0 >/dev/null' ||
    fail "SIGTERM ended the engine of the root file system"
  ! guest 'nbdring detach /dev/nbd0' || fail "the root device could be detached"
}

# The server goes away when the former system is down, and comes back when the initramfs has said that it is missing.
# QEMU is started anew: an emulated machine does not always survive its own reset.
step_rebooted_without_server() {
  guest_last 'systemctl reboot'
  wait_for_power_off
  check_image
  kill_servers
  start_machine root=/dev/disk/by-nbd/root
  wait_until 300 "the initramfs does not say that the server is away" grep -saq 'trying on' "$job_folder/console.log"
  start_servers
  wait_for_boot
  expect 0 "$(guest 'dmesg | grep -cE "recovery complete|orphan cleanup|recovering journal"')" "the log of recoveries"
}

step_powered_off() {
  guest_last 'systemctl poweroff'
  wait_for_power_off
  check_image
}

run_steps() {
  start_machine root=/dev/disk/by-nbd/root
  wait_for_boot
  step_came_up "$tls_uri"
  step_is_written
  beside_a_writer step_server_lost
  beside_a_writer step_engine_killed
  beside_a_writer step_upgraded
  beside_a_writer step_keeper_killed
  expect_marks
  expect_files
  step_rebooted_without_server
  expect_files
  step_powered_off

  start_machine root=LABEL=nbdring-root "nbdring.root=$plain_uri"
  wait_for_boot
  step_came_up "$plain_uri"
  step_not_ended_by_sigterm
  expect_files
  step_powered_off
  check_console 'block nbd0: (Receive|Send|Dead|shutting|Connection)|(Receive|Send) (control|data) failed'
  say "all well"
}
