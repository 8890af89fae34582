# Debian's kernels, unpacked into a cache and never installed: sourced by tests/vm/run.
#
# cache/KERNEL/
#   vmlinux  lib/modules/VERSION/  version   (moved into place when complete)

vm_cache=${NBDRING_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/nbdring/vm}

# Part of the cache's name: raise it when what is made below changes, and everybody's cache is rebuilt.
vm_cache_format=2

# The package that always depends on Debian's newest kernel of the asked series.
kernel_meta_package() {
  case $1 in
    6.1) echo linux-image-amd64 ;;
    6.12) echo linux-image-6.12-amd64 ;;
    *) fail "kernel '$1' is not known: choose 6.1 or 6.12" ;;
  esac
}

newest_kernel_package() {
  apt-cache depends "$2" 2>/dev/null |
    awk -v prefix="linux-image-$1." '$1 == "Depends:" && index($2, prefix) == 1 && !found++ { print $2 }'
}

kernel_package() {
  local series=$1 meta package
  meta=$(kernel_meta_package "$series")
  package=$(newest_kernel_package "$series" "$meta")
  if [[ -z $package ]]; then
    # A fresh container has no package lists.
    apt-get -qq update >&2 || true
    package=$(newest_kernel_package "$series" "$meta")
  fi
  [[ -n $package ]] || fail "apt knows no kernel $series (package $meta): add bookworm-security to" \
    "/etc/apt/sources.list and try again"
  echo "$package"
}

# Prints the folder of an unpacked kernel, fetching it the first time. Two runs at once: one waits.
kernel_folder() {
  local series=$1 folder=$vm_cache/$1-format$vm_cache_format
  kernel_meta_package "$series" >/dev/null
  if [[ ! -f $folder/version ]]; then
    mkdir -p "$vm_cache"
    exec {lock}>"$vm_cache/.lock-$series"
    flock "$lock"
    [[ -f $folder/version ]] || fetch_kernel "$series" "$folder"
    exec {lock}>&-
  fi
  echo "$folder"
}

# An emulated processor unpacks its kernel for seconds at each start: QEMU can start it unpacked as well (PVH).
# Where the compressed kernel lies in its file: Documentation/arch/x86/boot.rst, setup_sects, payload_offset, _length.
unpack_kernel_image() {
  local image=$1 result=$2 setup_sectors offset length magic
  header_field() { od -A n -t "u$2" -j "$1" -N "$2" "$image" | tr -d ' '; }
  setup_sectors=$(header_field $((0x1f1)) 1)
  offset=$(((setup_sectors + 1) * 512 + $(header_field $((0x248)) 4)))
  # The last four bytes are the unpacked length, and no business of the unpacker's.
  length=$(($(header_field $((0x24c)) 4) - 4))
  payload() { dd if="$image" iflag=skip_bytes,count_bytes skip="$offset" count="$length" bs=1M status=none; }
  magic=$(od -A n -t x1 -j "$offset" -N 4 "$image" | tr -d ' ')
  case $magic in
    fd377a58) payload | xz -dc >"$result" ;;
    28b52ffd) payload | zstd -qdc >"$result" ;;
    *) cp "$image" "$result" ;;
  esac
}

fetch_kernel() {
  local series=$1 folder=$2 package staging version
  package=$(kernel_package "$series")
  note "fetching $package (once; about 70 MB)"
  staging=$(mktemp -d "$vm_cache/staging.XXXXXX")
  # This runs in the subshell of $(kernel_folder): the trap is its own.
  trap "rm -rf '$staging'" EXIT
  (
    cd "$staging"
    apt-get -q -o APT::Sandbox::User=root download "$package" >apt.log 2>&1 ||
      { cat apt.log >&2; fail "apt-get could not download $package"; }
    dpkg-deb -x ./*.deb unpacked
  )
  mkdir "$staging/kernel"
  unpack_kernel_image "$staging"/unpacked/boot/vmlinuz-* "$staging/kernel/vmlinux"
  mv "$staging/unpacked/lib" "$staging/kernel/lib"
  version=$(basename "$staging"/kernel/lib/modules/*)
  # An emulated processor spends seconds on unpacking modules: the host does it once.
  find "$staging/kernel/lib/modules" -name '*.ko.xz' -print0 | xargs -0 -r xz -d
  depmod -b "$staging/kernel" "$version"
  echo "$version" >"$staging/kernel/version"
  rm -rf "$folder"
  mv "$staging/kernel" "$folder"
}
