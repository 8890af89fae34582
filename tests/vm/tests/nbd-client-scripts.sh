#!/bin/bash
# Scripts written for nbd-client, with ours in its place; and the same words to both: the original is the oracle.
# vm-timeout: 400
# check-kernel: 6.12
# The original makes the driver say that it shut sockets down:
# vm-allow: shutting down sockets|Receive control failed|Other side returned error|I/O error
set -Eeuo pipefail
source "$(dirname "$0")/kernel-functions.sh"
work=$SCRATCH
source "$(dirname "$0")/../../interop/lib-tls.sh"
trap 'echo "${BASH_SOURCE[-1]##*/}: failed at line $LINENO: $BASH_COMMAND" >&2' ERR

cd "$SCRATCH"
theirs=$SCRATCH/theirs
ours=/usr/sbin/nbd-client

exchange_programs() {
  cp /usr/sbin/nbd-client "$theirs"
  ln -sf "$NBDRING" "$ours"
}

start_servers() {
  truncate --size 64M image
  cat >nbd.conf <<END
[generic]
    allowlist = true
    port = 10810
    user = root
    group = root
[disk]
    exportname = $PWD/image
[fixed]
    exportname = $PWD/image
    readonly = true
END
  nbd-server -C nbd.conf 2>server.log
  nbdkit --port 10809 memory 32M
  nbdkit --unix "$PWD/socket" memory 32M
  until_true 10 "$theirs" -l 127.0.0.1 10810 >/dev/null
  until_true 10 test -S socket
}

# What a command line leaves: exit code, and of the device its size, whether it can be written, whether -c finds it.
effect_of() {
  local client=$1 status=0
  shift
  timeout 30 "$client" "$@" >said 2>&1 || status=$?
  udevadm settle --timeout=10
  echo -n "$status $(blockdev --getsize64 --getro --getss /dev/nbd0 2>/dev/null | xargs)"
  status=0
  "$client" -c /dev/nbd0 >found || status=$?
  echo -n " connected=$status"
  ((status > 0)) || { kill -0 "$(head -n 1 found)" 2>/dev/null && echo -n " alive" || echo -n " thread"; }
  status=0
  "$client" -d /dev/nbd0 >/dev/null 2>&1 || status=$?
  echo " disconnected=$status"
}

# The process that -c names need not live any more in the original's case: it only gave the sockets away.
same_effect() {
  local expected actual
  expected=$(effect_of "$theirs" "$@")
  actual=$(effect_of "$ours" "$@")
  until_true 10 not_attached 0
  [[ ${actual/ alive/ thread} == "${expected/ alive/ thread}" ]] ||
    fail "nbd-client $*: theirs '$expected', ours '$actual': $(<said)"
  [[ $actual != *" connected=0"* || $actual == *alive* ]] || fail "nbd-client -c named a process that does not live"
  echo "ok: nbd-client $*: $actual"
}

not_attached() { [[ ! -e /sys/block/nbd$1/pid ]]; }

both_do_the_same() {
  same_effect 127.0.0.1 /dev/nbd0 -N ''
  same_effect 127.0.0.1 10810 /dev/nbd0 -N disk -b 4096
  same_effect -name fixed 127.0.0.1 10810 /dev/nbd0 -persist
  same_effect -N disk 127.0.0.1 10810 /dev/nbd0 -R -t 7 -C 2
  same_effect -unix "$PWD/socket" /dev/nbd0
  same_effect -u "$PWD/socket" /dev/nbd0 -B 1048576 -swap
  same_effect 127.0.0.1 10810 /dev/nbd0 -N disk bs=1024 timeout=10
  same_effect 127.0.0.1 10810 /dev/nbd0 -N nope
  same_effect 127.0.0.1 10999 /dev/nbd0
  same_effect 127.0.0.1 10810 /dev/nbd0 -N disk -b 1000
  same_effect -S 127.0.0.1 10809 /dev/nbd0
  same_effect --frobnicate
  is "the exports" "$("$ours" -l 127.0.0.1 10810 | grep -v Negotiation)" \
    "$("$theirs" -l 127.0.0.1 10810 | grep -v Negotiation | sed '/^$/d')"
}

what_it_says() {
  is "connecting" "$("$ours" 127.0.0.1 /dev/nbd0 2>&1)" "Connected /dev/nbd0"
  refused 1 'nbd0 is connected already' "$ours" 127.0.0.1 /dev/nbd0
  is "a free one" "$("$ours" 127.0.0.1 10809 -p -g 2>said)" "Connected /dev/nbd1"
  is "lines about options" "$(wc -l <said)" 1
  refused 2 'in use: mounted' mounted_disconnect
  "$ours" -d /dev/nbd1
  "$theirs" 127.0.0.1 10810 /dev/nbd1 -N disk >/dev/null
  "$ours" -d /dev/nbd1 # also what the original connected
  not_attached 1 || fail "nbd1 is still connected"
  "$ours" -d /dev/nbd1
}

# refused() wants its own exit code: 2 says that both were as they should be.
mounted_disconnect() {
  local status=0
  mkfs.ext4 -q /dev/nbd0
  mount /dev/nbd0 /mnt
  "$ours" -d /dev/nbd0 || status=$?
  umount /mnt
  "$ours" -d /dev/nbd0 || return 1
  return $((status + 1))
}

with_certificates() {
  make_ca keys/ca "Our CA"
  make_certificate pki server keys/ca cn=localhost dns_name=localhost
  make_certificate pki client keys/ca cn=alice
  nbdkit --port 10812 --tls require --tls-certificates "$PWD/pki" --tls-verify-peer memory 32M
  until_true 10 bash -c ': </dev/tcp/127.0.0.1/10812'
  local keys=(-certfile pki/client-cert.pem -keyfile pki/client-key.pem -cacertfile pki/ca-cert.pem)
  same_effect 127.0.0.1 10812 /dev/nbd0 -N '' "${keys[@]}" -tlshostname localhost
  refused 1 'certificate|TLS' "$ours" 127.0.0.1 10812 /dev/nbd0 "${keys[@]}" -H elsewhere
  refused 1 'certificate|TLS' "$ours" 127.0.0.1 10812 /dev/nbd0 -x
}

# The package nbd-client's own: its init script, its unit, its part of the initramfs.
scripts_of_the_package() {
  {
    echo "nbd0 127.0.0.1 disk port=10810,persist,_local"
    echo "nbd1 $PWD/socket x unix,bs=4096 # a comment"
  } >/etc/nbdtab
  mkdir -p /run/sendsigs.omit.d
  sh /etc/init.d/nbd-client start
  is "nbd0 of nbdtab" "$(blockdev --getsize64 /dev/nbd0)" $((64 << 20))
  is "nbd1 of nbdtab" "$(blockdev --getsize64 /dev/nbd1)" $((32 << 20))
  sh /etc/init.d/nbd-client connect >said
  grep -q 'nbd0 already connected' said || fail "the init script connects twice: $(<said)"
  sh /etc/init.d/nbd-client stop
  [[ ! -e /sys/module/nbd ]] || fail "the init script cannot unload the module"
  modprobe nbd nbds_max=4
  udevadm settle
  local line
  for line in ExecStart ExecStop; do
    line=$(sed -n "s/^$line=//p" /lib/systemd/system/nbd@.service)
    ${line//%i/nbd0}
  done
  not_attached 0 || fail "the unit's ExecStop left nbd0"
}

initramfs() {
  mkdir -p /scripts
  printf '%s() { :; }\n' log_begin_msg log_failure_msg wait_for_udev configure_networking >/scripts/functions
  echo "root=/dev/nbd2 nbdroot=127.0.0.1:10810/disk" >cmdline
  mount --bind cmdline /proc/cmdline
  sh /usr/share/initramfs-tools/scripts/local-top/nbd
  umount /proc/cmdline
  is "the root device" "$(blockdev --getsize64 /dev/nbd2)" $((64 << 20))
  "$ours" -d nbd2
}

exchange_programs
modprobe nbd nbds_max=4
udevadm settle
start_servers
both_do_the_same
what_it_says
with_certificates
scripts_of_the_package
initramfs
is "devices" "$("$NBDRING" list)" ""
