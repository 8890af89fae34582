# What the systemd-*.sh scripts share: sourced by them. Two devices of the tab with a file system each: `local`, a file
# on the scratch disk, and `far`, behind TLS and the network, whose server is companions/far-server.py.

set -euo pipefail

fail() { echo "FAILED: $*"; exit 1; }
is() { [[ $2 == "$3" ]] || fail "$1 is '$2' and not '$3'"; }
expect() { "$@" || fail "not so: $*"; }

# within SECONDS COMMAND…: until it succeeds.
within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "not in time: $*"
    sleep 0.3
  done
}

# The companion's answer to a word.
far() {
  local answer
  exec 4<>/dev/virtio-ports/companion
  echo "$1" >&4
  read -r -t 60 answer <&4 || fail "the companion does not answer '$1'"
  exec 4>&-
  echo "$answer"
}

write_tab() {
  mkdir -p /etc/nbdring /mnt/local /mnt/far
  printf 'alice:%s\n' "$(printf '5a%.0s' {1..32})" >/etc/nbdring/far.psk
  chmod 600 /etc/nbdring/far.psk
  cat >/etc/nbdring/tab <<'TAB'
local  /scratch/local.image       connections=2
far    nbds://alice@10.0.2.100/   tls-psk-file=/etc/nbdring/far.psk,connections=2,nofail
parts  /scratch/parts.image       noauto
TAB
  printf '%s\n' '[gateway]' 'insecure = true' '[gateway.configurations.cd]' >/etc/nbdring/nbdring.toml
  cat >/etc/fstab <<'FSTAB'
/dev/disk/by-nbd/local /mnt/local ext4 x-systemd.requires=nbdring@local.service 0 2
/dev/disk/by-nbd/far /mnt/far ext4 _netdev,nofail,x-systemd.requires=nbdring@far.service,x-systemd.device-timeout=0 0 0
FSTAB
}

make_images() {
  truncate -s 256M /scratch/local.image
  mke2fs -q -F -t ext4 /scratch/local.image
  truncate -s 32M /scratch/parts.image
  # Two entries of an MBR: flag, CHS, type, CHS, first sector, sectors.
  python3 -c '
import struct
entry = lambda first: struct.pack("<B3sB3sII", 0, bytes(3), 0x83, bytes(3), first, 16384)
with open("/scratch/parts.image", "r+b") as disk:
    disk.seek(446)
    disk.write(entry(2048) + entry(2048 + 16384) + bytes(32) + bytes([0x55, 0xaa]))
'
}

# Writes and syncs for as long as the file system is mounted; stopped by systemd before it is unmounted.
start_load() {
  local unit=load-$1
  # It may have been restarted together with the device.
  systemctl is-active -q "$unit" || systemd-run -q --unit "$unit" -p RequiresMountsFor="/mnt/$1" \
    -p TimeoutStopSec=20 bash -c '
    for ((i = 0; ; i++)); do
      dd if=/dev/urandom of=/mnt/'"$1"'/load.$((i % 5)) bs=256k count=8 conv=fsync status=none
    done'
  within 20 test -s "/mnt/$1/load.1"
}

# A file that must be there, whole, in the next boot.
leave_mark() {
  dd if=/dev/urandom of="/mnt/$1/mark" bs=64k count=32 conv=fsync status=none
  sha256sum "/mnt/$1/mark" >"/scratch/mark-$1"
}
check_mark() { expect sha256sum --quiet -c "/scratch/mark-$1"; }

is_mounted() { findmnt -n "/mnt/$1" >/dev/null; }

# check_journal FILE [REGEX]: nothing in a boot's journal, its shutdown included, may complain but what was provoked:
# neither ours nor systemd of ours. (The wall message is logind's, which this machine does not have.)
check_journal() {
  local lines expected="wall message${2:+|$2}"
  lines=$(grep -aE 'nbdring.*(error|warning):|I/O error|EXT4-fs (error|warning)|recovering journal|\[FAILED\]|Failed to|timed out|Killing process|Main process exited|result .*(timeout|signal)|ordering cycle' \
    "$1" | grep -avE "$expected" || true)
  [[ -z $lines ]] || fail "the journal $1 has:"$'\n'"$lines"
}
