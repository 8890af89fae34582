# What happens to the machine whose root file system is on the device: sourced by run.

run_steps() {
  start_machine root=/dev/nbd0 "nbdring.root=$plain_uri"
  wait_for_boot
  guest 'systemctl is-system-running --wait; systemctl --failed; nbdring list; cat /proc/*/cmdline | tr "\0" " " | grep -a nbdring; cat /proc/self/mountinfo; ls -lR /run/nbdring; free -m' || true
  guest_last 'systemctl poweroff'
  wait_for_power_off
  check_image
}
