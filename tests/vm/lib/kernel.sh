# Debian's kernels, unpacked into a cache and never installed: sourced by tests/vm/run.
#
# cache/KERNEL/
#   vmlinuz  lib/modules/VERSION/  version   (moved into place when complete)

vm_cache=${NBDRING_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/nbdring/vm}

# Part of the cache's name: raise it when what is made below changes, and everybody's cache is rebuilt.
vm_cache_format=1

# The package that always depends on Debian's newest kernel of the asked series.
kernel_meta_package() {
  case $1 in
    6.1) echo linux-image-amd64 ;;
    6.12) echo linux-image-6.12-amd64 ;;
    *) fail "kernel '$1' is not known: choose 6.1 or 6.12" ;;
  esac
}

kernel_package() {
  local series=$1 meta package
  meta=$(kernel_meta_package "$series")
  package=$(apt-cache depends "$meta" 2>/dev/null |
    sed -n "s/^ *Depends: \(linux-image-${series//./\\.}\.[^ ]*\)$/\1/p" | head -n 1)
  [[ -n $package ]] || fail "apt knows no kernel $series (package $meta): run apt-get update, or" \
    "add bookworm-security to the apt sources, and try again"
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

fetch_kernel() {
  local series=$1 folder=$2 package staging version
  package=$(kernel_package "$series")
  note "fetching $package (once; about 70 MB)"
  staging=$(mktemp -d "$vm_cache/staging.XXXXXX")
  (
    cd "$staging"
    apt-get -q -o APT::Sandbox::User=root download "$package" >apt.log 2>&1 ||
      { cat apt.log >&2; fail "apt-get could not download $package"; }
    dpkg-deb -x ./*.deb unpacked
  )
  mkdir "$staging/kernel"
  mv "$staging"/unpacked/boot/vmlinuz-* "$staging/kernel/vmlinuz"
  mv "$staging/unpacked/lib" "$staging/kernel/lib"
  version=$(basename "$staging"/kernel/lib/modules/*)
  # An emulated processor spends seconds on unpacking modules: the host does it once.
  find "$staging/kernel/lib/modules" -name '*.ko.xz' -print0 | xargs -0 -r xz -d
  depmod -b "$staging/kernel" "$version"
  echo "$version" >"$staging/kernel/version"
  rm -rf "$folder"
  mv "$staging/kernel" "$folder"
  rm -rf "$staging"
}
