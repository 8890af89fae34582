# The machine with systemd as process 1 (`# vm-init: systemd`): sourced by guest/init.
#
# Each boot begins with the host's root as it is; only /scratch is what the boot before has left. The script is called
# twice in each: with `setup` before systemd starts (fstab, units, what the machine has), and with `run` as a unit of
# the running system. Exit status 100 of `run` reboots, 101 powers off, and both call it again in the next boot, with
# NBDRING_VM_BOOT one higher; any other status is the result.

become_systemd() {
  local status=0
  log_marker "start of script"
  start_output
  forget_host
  cp -a --no-preserve=ownership "$job_folder/package/." /
  write_units
  hostname nbdring-vm
  cd "$checkout" || exit 1
  environment+=("NBDRING_VM_BOOT=$(<"$job_folder/boot")")
  env "${environment[@]}" "${command[@]}" setup </dev/null >/run/vm-output 2>&1 3>&- || status=$?
  ((status == 0)) || finish "$status"
  stop_output
  cd / || exit 1
  # Its environment is that of the kernel's command line.
  exec env -i TERM=dumb /lib/systemd/systemd --unit=multi-user.target
}

# What the host starts at boot is no business of this machine, and what a new machine does once takes minutes here.
forget_host() {
  local unit
  rm -rf /etc/systemd/system /etc/systemd/network /etc/network/interfaces /etc/udev/rules.d /var/log/journal
  mkdir -p /etc/systemd/system /etc/systemd/network /etc/udev/rules.d
  for unit in systemd-firstboot systemd-pstore systemd-timesyncd systemd-hwdb-update ldconfig systemd-pcrphase \
    systemd-pcrphase-sysinit systemd-machine-id-commit systemd-logind systemd-user-sessions systemd-binfmt \
    systemd-update-utmp systemd-update-utmp-runlevel e2scrub_reap systemd-journal-catalog-update keyboard-setup \
    console-setup nbd-client apparmor networking dpkg-db-backup systemd-sysusers systemd-ask-password-wall; do
    ln -s /dev/null "/etc/systemd/system/$unit.service"
  done
  for unit in getty.target timers.target systemd-ask-password-wall.path; do
    ln -s /dev/null "/etc/systemd/system/$unit"
  done
  # Drivers that nobody here needs, by the seconds that an emulated processor takes for them.
  printf 'blacklist %s\n' kvm_amd kvm_intel kvm ahci libata i2c_i801 lpc_ich iTCO_wdt psmouse pcspkr aesni_intel \
    cryptd button evdev serio_raw rfkill cfg80211 bluetooth sr_mod cdrom sg >/etc/modprobe.d/vm.conf
  # Debian empties /tmp at boot: with it what the host has there, the job first of all.
  mkdir -p /etc/tmpfiles.d
  ln -sf /dev/null /etc/tmpfiles.d/tmp.conf
  # Services of SysV's kind become units at each boot, by a generator that reads this.
  rm -rf /etc/rc?.d /etc/init.d
  touch /etc/.updated /var/.updated
  : >/etc/fstab
}

write_units() {
  cat >/etc/systemd/system/nbdring-vm.service <<UNIT
[Unit]
Description=The script of this machine
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target

[Service]
ExecStart=/bin/bash $checkout/tests/vm/guest/systemd-unit $job_folder
TimeoutStopSec=2

[Install]
WantedBy=multi-user.target
UNIT
  mkdir -p /etc/systemd/system/multi-user.target.wants /etc/systemd/journald.conf.d
  ln -s ../nbdring-vm.service /etc/systemd/system/multi-user.target.wants/
  # As Debian has it.
  ln -s /lib/systemd/system/remote-fs.target /etc/systemd/system/multi-user.target.wants/
  # All that the journal gets goes to the host as well, until the machine's very end: $NBDRING_VM_JOURNALS/N.
  printf '%s\n' '[Journal]' Storage=volatile ForwardToConsole=yes TTYPath=/dev/hvc0 MaxLevelConsole=debug \
    RateLimitIntervalSec=0 >/etc/systemd/journald.conf.d/vm.conf
  [[ -z $companion ]] || write_network
}

# As guest/init's open_to_companion, by systemd's own daemon.
write_network() {
  modprobe virtio_net
  printf '%s\n' '[Match]' 'Name=e*' '[Network]' Address=10.0.2.15/24 LinkLocalAddressing=no \
    IPv6AcceptRA=no >/etc/systemd/network/eth0.network
  mkdir -p /etc/systemd/system/network-online.target.wants
  ln -s /lib/systemd/system/systemd-networkd.service /etc/systemd/system/multi-user.target.wants/
  ln -s /lib/systemd/system/systemd-networkd-wait-online.service /etc/systemd/system/network-online.target.wants/
}
