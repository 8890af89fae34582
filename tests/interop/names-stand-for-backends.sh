#!/bin/bash
# A bare NAME is looked for in NBDRING_ROUTES, then in the configuration file, and then it is a path.

source "$(dirname "$0")/lib.sh"
requires nbdinfo
unset NBDRING_ROUTES

cd "$work"
truncate -s 1M disk
truncate -s 2M other
truncate -s 3M far
config=$work/names.toml
cat >"$config" <<END
[aliases]
disk = "$work/other"
deep = "deeper"
deeper = "disk"
lost = "nbd://"
circle = "round"
round = "circle"
wrong = "memory:much"
END
chmod 600 "$config"

# size_of ARGS…: what `nbdring info ARGS…` says
size_of() {
  "$NBDRING" info --json "$@" | "$python" -c 'import json,sys; print(json.load(sys.stdin)["exports"][0]["size"])'
}

expect_equal 'no alias: a file' "$(size_of --config /dev/null disk)" 1048576
expect_equal 'the alias goes before the file' "$(size_of --config "$config" disk)" 2097152
expect_equal 'the file is ./NAME' "$(size_of --config "$config" ./disk)" 1048576
expect_equal 'an alias of an alias of an alias' "$(size_of --config "$config" deep)" 2097152
expect_equal 'a name that is no alias' "$(size_of --config "$config" far)" 3145728
export NBDRING_ROUTES="disk $work/far; route deep;"
expect_equal 'a route goes before the configuration' "$(size_of --config "$config" disk)" 3145728
expect_equal 'a route to an alias, which goes on to a route' "$(size_of --config "$config" route)" 3145728
expect_equal 'routes need no configuration' "$(size_of --config /dev/null disk)" 3145728
unset NBDRING_ROUTES
"$NBDRING" info -v --config "$config" disk 2>"$work/said" >/dev/null
grep -q 'write ./NAME' "$work/said" || fail "-v does not say that there is a file: $(cat "$work/said")"
pass 'what goes first'

# serve and info, with a remote behind the name
start_serve deep --config "$config"
expect_equal 'an alias served' "$(nbdinfo --size "$uri")" 2097152
expect_equal 'a route to a server' "$(NBDRING_ROUTES="srv $uri" size_of --config /dev/null srv)" 2097152
stop_serve
pass 'serve and info'

info() { expect_refused "$1" "$2" "$NBDRING" info "${@:3}"; }
info 2 'circle -> round -> circle' --config "$config" circle
info 2 "the alias wrong ($config:8): " --config "$config" wrong
info 2 "'$work/none.toml' does not exist" --config "$work/none.toml" disk
NBDRING_ROUTES='a b;a c' info 2 "'a c' gives its name a second time" --config /dev/null disk
NBDRING_ROUTES='nbd://h/x' info 2 "'nbd://h/x' does not begin with a name" --config /dev/null disk
echo 'a = = b' >"$work/broken.toml"
info 2 "$work/broken.toml:1: " --config "$work/broken.toml" disk
printf '[aliases]\n[atach]\n' >"$work/unknown.toml"
info 2 "$work/unknown.toml:2: 'atach' is not known" --strict --config "$work/unknown.toml" disk
"$NBDRING" info --config "$work/unknown.toml" disk 2>"$work/said" >/dev/null
grep -qF "$work/unknown.toml:2: 'atach' is not known and is ignored" "$work/said" ||
  fail "no warning: $(cat "$work/said")"
chmod 666 "$config"
if ((EUID == 0)); then
  info 1 'can be written by others than root' --config "$config" disk
else
  expect_equal 'who is not root runs what he likes' "$(size_of --config "$config" disk)" 2097152
fi
pass 'what is refused'
