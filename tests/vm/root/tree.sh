# A small Debian whose root file system lies on a network block device: sourced by run.
#
# $vm_cache/root-FORMAT.tar: the packages, the same for everybody. What is ours is put in anew for each machine.

# Raise it when what is made below changes, and everybody's cache is rebuilt.
root_tree_format=1
root_tree_packages=(
  systemd-sysv udev kmod initramfs-tools e2fsprogs dbus iproute2 procps zstd
  libgnutls30 liburing2 libnl-3-200 libnl-genl-3-200 libsystemd0 libtomlplusplus3
)
# What the machine needs before its root file system is there; it needs little more afterwards.
root_modules=(virtio_pci virtio_net virtio_console ext4 crc32c_generic af_packet autofs4 nbd)

fetch_root_tree() {
  local archive=$1 staging=$1.staging.$$
  note "fetching the packages of a small Debian (once; about 70 MB)"
  mmdebstrap --variant=minbase --include="$(IFS=, && echo "${root_tree_packages[*]}")" \
    --aptopt='Acquire::Languages "none"' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --format=tar bookworm "$staging" >"$archive.log" 2>&1 || skip_unfetched "$archive.log" "$staging"
  mv "$staging" "$archive"
}

# No mirror within reach is nobody's error; anything else is.
skip_unfetched() {
  local unreachable='failure resolving|Could not (resolve|connect)|Unable to connect|Connection (failed|timed)'
  cat "$1" >&2
  rm -f "$2"
  grep -qE "$unreachable" "$1" || fail "mmdebstrap failed"
  note "the packages of a small Debian cannot be fetched"
  exit 77
}

# Prints the archive's path. Two runs at once: one waits.
root_tree_archive() {
  local archive=$vm_cache/root-$root_tree_format.tar
  if [[ ! -f $archive ]]; then
    mkdir -p "$vm_cache"
    exec {lock}>"$vm_cache/.lock-root"
    flock "$lock"
    [[ -f $archive ]] || fetch_root_tree "$archive"
    exec {lock}>&-
  fi
  echo "$archive"
}

install_modules() {
  local version file
  version=$(<"$kernel_folder/version")
  for file in $(for module in "${root_modules[@]}"; do module_files "$kernel_folder" "$version" "$module"; done); do
    file=${file#"$kernel_folder/"}
    mkdir -p "$tree/$(dirname "$file")"
    cp "$kernel_folder/$file" "$tree/$file"
  done
  cp "$kernel_folder/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$tree/lib/modules/$version/"
  depmod -b "$tree" "$version"
  echo CONFIG_RD_ZSTD=y >"$tree/boot/config-$version"
}

install_program() {
  local build
  build=$(dirname "$program")
  DESTDIR=$tree cmake --install "$build" --prefix /usr --strip >"$job_folder/install.log"
  mkdir -p "$tree/etc/nbdring/keys"
  (umask 0077 && cp "$job_folder/keys.psk" "$tree/etc/nbdring/keys/root.psk")
  echo "root $tls_uri connections=2,timeout=10,initramfs" >"$tree/etc/nbdring/tab"
  # nbdring.root= is tried as well.
  echo 'ATTACH_OPTIONS="--connections 1"' >"$tree/etc/nbdring/initramfs.conf"
}

configure_system() {
  local unit
  echo nbdring-root >"$tree/etc/hostname"
  echo 'LABEL=nbdring-root / ext4 errors=remount-ro 0 1' >"$tree/etc/fstab"
  printf 'MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\nFSTYPE=ext4\n' >"$tree/etc/initramfs-tools/conf.d/test"
  printf '%s\n' "${root_modules[@]}" >"$tree/etc/initramfs-tools/modules"
  mkdir -p "$tree/var/log/journal"
  install -m 0755 "$vm_folder/root/agent" "$tree/usr/local/sbin/agent"
  cp "$vm_folder/root/agent.service" "$tree/etc/systemd/system/"
  ln -s ../agent.service "$tree/etc/systemd/system/multi-user.target.wants/agent.service"
  for unit in getty@tty1.service serial-getty@ttyS0.service apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer; do
    ln -sf /dev/null "$tree/etc/systemd/system/$unit"
  done
}

in_tree() {
  unshare --mount bash -euc '
    tree=$1
    mount --bind /dev "$tree/dev"
    mount -t proc proc "$tree/proc"
    exec chroot "$tree" "${@:2}"' in_tree "$tree" "$@"
}

make_initramfs() {
  local version
  version=$(<"$kernel_folder/version")
  in_tree mkinitramfs -o /boot/initramfs "$version" >"$job_folder/mkinitramfs.log" 2>&1 ||
    { cat "$job_folder/mkinitramfs.log" >&2; fail "mkinitramfs failed"; }
  [[ $(stat -c %a "$tree/boot/initramfs") == 600 ]] || fail "the initramfs holds keys and anybody can read it"
  # An emulated processor would unpack it for seconds.
  zstd -qdc "$tree/boot/initramfs" >"$job_folder/initramfs"
}

# Makes $job_folder/image and $job_folder/initramfs.
build_root() {
  tree=$job_folder/tree
  mkdir "$tree"
  tar -C "$tree" -xf "$root_archive" --exclude=./dev/*
  mkdir -p "$tree/boot"
  install_modules
  install_program
  configure_system
  make_initramfs
  mke2fs -q -F >/dev/null -t ext4 -L nbdring-root -d "$tree" "$job_folder/image" 1G
  rm -rf "$tree"
}
