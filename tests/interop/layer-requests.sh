#!/bin/bash
# delay, rate, error, log and readonly beside nbdkit's filters, and what is wrong with arguments.

source "$(dirname "$0")/lib.sh"
requires nbdkit nbdcopy nbdinfo qemu-io
requires_libnbd

image=$work/image
head -c 4M /dev/urandom >"$image"

# time_of COMMAND…: in milliseconds
time_of() {
  local begin
  begin=$(date +%s%3N)
  "$@" >/dev/null
  echo $(($(date +%s%3N) - begin))
}

# expect_between WHAT VALUE LEAST MOST
expect_between() {
  (($2 >= $3 && $2 <= $4)) || fail "$1: $2 is not within $3 and $4"
}

# 64 reads at once wait together, as with nbdkit's filter, and not one after the other.
reads() {
  timeout 60 "$python" - "$1" <<'END'
import sys, nbd
h = nbd.NBD()
h.connect_uri(sys.argv[1])
buffers = [nbd.Buffer(512) for i in range(64)]
cookies = [h.aio_pread(b, i * 512) for i, b in enumerate(buffers)]
for c in cookies:
    while not h.aio_command_completed(c):
        h.poll(-1)
END
}
start_serve "$image" --layer delay=read:300
ours=$(time_of reads "$uri")
expect_equal 'bytes through delay' "$(nbdcopy "$uri" - | sha256sum)" "$(sha256sum <"$image")"
expect_between 'a flush' "$(time_of qemu-io -f raw -c flush "$uri")" 0 290
stop_serve
nbdkit -U "$work/theirs" -P "$work/pid" --filter=delay file "$image" rdelay=300ms
at_exit+=("kill \$(cat $work/pid)")
theirs=$(time_of reads "nbd+unix:///?socket=$work/theirs")
expect_between '64 delayed reads' "$ours" 300 $((theirs + 1500))
echo "delay: ours $ours ms, nbdkit's $theirs ms"
pass "delay"

start_serve "$image" --layer rate=4M/s
ours=$(time_of nbdcopy "$uri" null:)
expect_equal 'bytes through rate' "$(nbdcopy "$uri" - | sha256sum)" "$(sha256sum <"$image")"
stop_serve
# nbdkit counts in bits and lets two seconds go at once.
expect_between '4 MiB at 4 MiB/s' "$ours" 500 2500
start_serve "$image" --layer rate=4M
two_copies() {
  nbdcopy "$uri" null: &
  nbdcopy "$uri" null:
  wait $!
}
expect_between 'two clients together' "$(time_of two_copies)" 1500 5000
stop_serve
pass "rate: $ours ms for 4 MiB at 4 MiB/s"

for error in EIO:Input/output EPERM:Operation ENOSPC:"No space" ENOMEM:"Cannot allocate"; do
  start_serve "$image" --layer "error=${error%%:*}:write"
  ours=$(qemu-io -f raw -c 'write 0 512' "$uri" 2>&1 || true)
  qemu-io -r -f raw -c 'read 0 512' "$uri" >/dev/null
  stop_serve
  theirs=$(nbdkit -U - --filter=error file "$image" error-pwrite="${error%%:*}" error-pwrite-rate=100% \
    --run "qemu-io -f raw -c 'write 0 512' \"\$uri\" 2>&1 || true" 2>/dev/null)
  expect_equal "error=$error" "$(grep -o 'write failed.*' <<<"$ours")" "$(grep -o 'write failed.*' <<<"$theirs")"
  grep -q "${error#*:}" <<<"$ours" || fail "error=$error: $ours"
done
start_serve "$image" --layer "error=EIO:read:file=$work/fail"
qemu-io -r -f raw -c 'read 0 512' "$uri" >/dev/null
touch "$work/fail"
! qemu-io -r -f raw -c 'read 0 512' "$uri" >/dev/null 2>&1 || fail "it should fail while the file is there"
rm "$work/fail"
qemu-io -r -f raw -c 'read 0 512' "$uri" >/dev/null
stop_serve
pass "error"

start_serve "$image" --layer "log=$work/ours.log"
qemu-io -f raw -t none -c 'write -P 5 8k 4k' -c 'write -f 0 512' -c 'read 1M 64k' -c 'write -z 64k 64k' \
  -c flush "$uri" >/dev/null
stop_serve
sed -E 's/.*command=//; s/ flags=.*result=/ /' "$work/ours.log" | grep -v '^flush\|^extents' | sort >"$work/logged"
cat >"$work/wanted" <<'END'
read offset=1048576 length=65536 ok
write offset=0 length=512 ok
write offset=8192 length=4096 ok
zero offset=65536 length=65536 ok
END
diff "$work/wanted" "$work/logged"
grep -q 'command=flush .*result=ok' "$work/ours.log"
! grep -vE '^start=[0-9.]+ end=[0-9.]+ us=[0-9]+ lane=' "$work/ours.log" || fail "lines of another form"
pass "log"

# Two in both orders: what is refused outside is not logged inside.
for order in "--layer log=$work/a.log --layer readonly" "--layer readonly --layer log=$work/b.log"; do
  # shellcheck disable=SC2086
  start_serve "$image" $order
  nbdinfo --json "$uri" | grep -q '"is_read_only": true' || fail "$order: not read-only"
  nbdcopy "$uri" - | cmp - "$image"
  stop_serve
done
for log in a b; do
  commands=$(sed 's/.*command=//; s/ .*//' "$work/$log.log" | sort -u | tr '\n' ' ')
  expect_equal "commands logged in $log" "$commands" "extents read "
done
pass "two layers in both orders"

for wrong in nosuch offset offset=x offset=5M partition=x rate=1 delay=x error=EWHAT log blocksize=3 tar readonly=1; do
  expect_refused 2 "--layer" "$NBDRING" serve "$image" --layer "$wrong" --unix "$work/none"
done
expect_refused 2 "exclude each other" "$NBDRING" info "$image" --list --layer readonly
"$NBDRING" info "$image" --layer offset=1M | grep -q 3145728 || fail "info does not show the layers' size"
pass "wrong arguments"
