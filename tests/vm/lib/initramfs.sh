# The few megabytes that the machine boots from until the host's root is mounted: sourced by tests/vm/run.

# What is needed to see the host's root; everything else is loaded from there.
initramfs_modules=(virtio_pci virtiofs overlay virtio_console)

# Prints the module's files, dependencies first; nothing for what is built into the kernel.
module_files() {
  local kernel=$1 version=$2 module=$3
  modprobe -d "$kernel" -S "$version" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
}

# Made anew for each machine: it takes a twentieth of a second and is never out of date.
build_initramfs() {
  local root=$job_folder/initramfs.d version module file number=100
  version=$(<"$kernel_folder/version")
  mkdir -p "$root"/{bin,modules,proc,lower,upper,root}
  cp "$(command -v busybox)" "$root/bin/busybox"
  cp "$vm_folder/guest/initramfs-init" "$root/init"
  for module in "${initramfs_modules[@]}"; do
    for file in $(module_files "$kernel_folder" "$version" "$module"); do
      # The shell's order of names is the order of loading; a second copy would be EEXIST.
      compgen -G "$root/modules/*-${file##*/}" >/dev/null ||
        cp "$file" "$root/modules/$((number++))-${file##*/}"
    done
  done
  (cd "$root" && find . -print0 | cpio --quiet -0 -o -H newc --owner 0:0) >"$job_folder/initramfs"
}
