#!/bin/bash
# The Debian package: built, judged by lintian, installed into a view of this machine's root that is thrown away, looked
# at from inside (inside.sh), removed again: then nothing of it is left. NBDRING_BUILD is the build folder.
set -euo pipefail
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$tests/../.." && pwd)
build=${NBDRING_BUILD:-$checkout/build}

fail() { echo "FAILED: $*" >&2; exit 1; }

for tool in lintian mandoc man zsh unshare; do
  command -v "$tool" >/dev/null || { echo "no $tool here: tools/setup installs it"; exit 77; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/nbdring-package.XXXXXX")
trap 'rm -rf "$work"' EXIT

make_package() {
  local made
  (cd "$work" && cpack -G DEB --config "$build/CPackConfig.cmake" -B "$work/packed") >"$work/cpack.log" 2>&1 ||
    { cat "$work/cpack.log"; fail "cpack"; }
  made=("$work"/packed/nbdring_*_"$(dpkg --print-architecture)".deb)
  [[ ${#made[@]} -eq 1 && -f ${made[0]} ]] || fail "cpack left ${made[*]}"
  package=${made[0]}
  echo "made: $(basename "$package"), $(($(stat -c %s "$package") / 1024)) KiB"
}

judge_package() {
  local depends
  lintian --allow-root --fail-on error --tag-display-limit 0 "$package" || fail "lintian has found errors"
  depends=$(dpkg-deb -f "$package" Depends)
  [[ $depends == *libgnutls30*liburing2* || $depends == *liburing2*libgnutls30* ]] || fail "Depends is '$depends'"
  echo "depends: $depends"
}

# Writes go to memory; the files of this machine are only seen.
install_and_look() {
  local in_new_root='
    set -e
    mount -t tmpfs tmpfs "$1"
    mkdir "$1"/{upper,work,root}
    mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
    mount -t proc proc "$1/root/proc" 2>/dev/null || mount --rbind /proc "$1/root/proc"
    mount --rbind /dev "$1/root/dev"
    mount -t tmpfs run "$1/root/run"
    mount -t tmpfs tmp "$1/root/tmp"
    cp "$2" "$1/root/tmp/nbdring.deb"
    cp "$3"/inside.sh "$1/root/tmp/"
    exec chroot "$1/root" /bin/bash /tmp/inside.sh /tmp/nbdring.deb'
  local namespaces=(--mount --pid --fork)
  ((EUID == 0)) || namespaces+=(--user --map-root-user)
  mkdir "$work/view"
  unshare "${namespaces[@]}" true 2>/dev/null || { echo "no namespaces for this user here"; exit 77; }
  unshare "${namespaces[@]}" bash -c "$in_new_root" - "$work/view" "$package" "$tests"
}

make_package
judge_package
install_and_look
