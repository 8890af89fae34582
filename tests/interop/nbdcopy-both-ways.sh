#!/bin/bash
# nbdcopy writes an image to the export and reads it back, over four connections, byte for byte.

source "$(dirname "$0")/lib.sh"
requires nbdcopy

head -c 67108864 /dev/urandom >"$work/source"
wanted=$(sha "$work/source")

copy_there_and_back() {
  nbdcopy --connections=4 --requests=32 --flush "$work/source" "$uri"
  [[ -z $image ]] || expect_equal "$backend image" "$(sha "$image")" "$wanted"
  rm -f "$work/back"
  nbdcopy --connections=4 --requests=32 "$uri" "$work/back"
  expect_equal "$backend, read back" "$(sha "$work/back")" "$wanted"
}

on_each_backend 64M copy_there_and_back

# Through a pipe nbdcopy uses one connection and no seeking.
start_backend writeback 64M
nbdcopy - "$uri" <"$work/source"
expect_equal 'through a pipe' "$(nbdcopy "$uri" - | sha256sum | cut -d ' ' -f 1)" "$wanted"
stop_serve
pass "nbdcopy: there and back, sha256 equal"
