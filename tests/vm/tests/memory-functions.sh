# For the memory-*.sh tests, sourced.

source "$(dirname "${BASH_SOURCE[0]}")/remote-functions.sh"

# The engine and, where there is one, its keeper.
processes_of_device() {
  "$NBDRING" list --json |
    python3 -c 'import json, sys; d = json.load(sys.stdin)[0]; print(d["pid"], d.get("keeper", ""))'
}

# make_group NAME MEMORY_MAX: of version 2 of cgroups, mounted where nobody has.
groups=/sys/fs/cgroup
make_group() {
  mountpoint -q "$groups" || mount -t cgroup2 none "$groups"
  echo +memory >"$groups/cgroup.subtree_control"
  mkdir -p "$groups/$1"
  echo "$2" >"$groups/$1/memory.max"
}
into_group() {
  local process
  for process in "${@:2}"; do echo "$process" >"$groups/$1/cgroup.procs"; done
}
event_of() { awk -v name="$2" '$1 == name { print $2 }' "$groups/$1/memory.events"; }
