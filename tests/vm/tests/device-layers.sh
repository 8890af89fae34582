#!/bin/bash
# Layers in front of a device: it is attached by what is seen through them, another stack is another device, the same
# one is the same, and read-only is read-only. A write is given up at the end:
# vm-allow: I/O error, dev nbd[0-9]+|Buffer I/O error on dev nbd
# vm-allow: nbd[0-9]+: (shutting down sockets|Disconnected|Send|Receive|Attempted|Dead)
# check-kernel: 6.12
source "$(dirname "$0")/device-functions.sh"

cd "$SCRATCH"
head -c 8M /dev/urandom >image
dd if=image of=part iflag=skip_bytes,count_bytes skip=1M count=4M status=none
wanted=$(sum_of part)

attach image --layer offset=1M,size=4M
first=$device
is "size" "$(blockdev --getsize64 "$device")" $((4 << 20))
is "bytes" "$(sum_of "$device")" "$wanted"
attach image --layer offset=1M,size=4M
is "attached again" "$device" "$first"
"$NBDRING" list --json | grep -qF -- "image --layer offset=1M,size=4M" || fail "list does not show the layers"
dd if=/dev/zero of="$device" bs=64k count=1 oflag=direct conv=fsync status=none
detach "$device"
dd if=image of=part2 iflag=skip_bytes,count_bytes skip=1M count=64K status=none
is "written" "$(sum_of part2)" "$(head -c 64K /dev/zero | sha256sum | cut -d ' ' -f 1)"
rest=$(((4 << 20) - 65536))
dd if=image of=rest iflag=skip_bytes,count_bytes skip=$(((1 << 20) + 65536)) count=$rest status=none
is "behind it" "$(sum_of rest)" "$(tail -c $rest part | sha256sum | cut -d ' ' -f 1)"

attach image --layer readonly --layer "log=$SCRATCH/requests"
first=$device
is "getro" "$(blockdev --getro "$device")" 1
attach image --layer readonly --layer "log=$SCRATCH/requests"
is "read-only, attached again" "$device" "$first"
is "whole" "$(sum_of "$device")" "$(sum_of image)"
grep -q 'command=read .* result=ok' requests || fail "nothing is logged"
detach "$device"

# Many requests at once through five layers.
attach image -c 2 --layer "log=$SCRATCH/requests" --layer delay=1 --layer rate=1G --layer error=EIO:0% \
  --layer blocksize=512
fio --name=layers --filename="$device" --rw=randrw --bs=4k --iodepth=64 --ioengine=libaio --direct=1 --size=4M \
  --verify=crc32c --do_verify=1 --output=fio.log || fail "fio: $(cat fio.log)"
detach "$device"

# What waits does not keep a device that has to go.
attach image --layer delay=write:20000
dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct status=none 2>dd.err &
writer=$!
sleep 1
begin=$SECONDS
timeout 60 "$NBDRING" detach --force "$device" || fail "detach --force"
((SECONDS - begin < 15)) || fail "detach waited $((SECONDS - begin)) s for a delayed write"
wait "$writer" || true
is "leftovers" "$(leftovers)" ""
