#!/bin/bash
# No write of a connection that the driver gave up lands after a newer one. The server holds the first copy of a write
# for longer than the driver's timer; the driver sends the write again on another connection; then the block is written
# anew. What is there at the end must be the newer bytes, also when the server has done all that it was ever sent.
# vm-timeout: 300
# vm-allow: block nbd0: (Connection timed out|Receive control failed|Send (control|data) failed|Dead connection)
source "$(dirname "$0")/remote-functions.sh"
trap 'stop_servers; show_leftovers_on_failure' EXIT
cd "$SCRATCH"

truncate -s 1M image
# The first write to the marked block waits for as long as `hold` says.
write_block() {
  cat >server-write <<'END'
#!/bin/sh
# COUNT OFFSET
data=$(mktemp /scratch/data.XXXXXX)
cat >"$data"
if [ "$2" = 65536 ] && mv /scratch/hold /scratch/held 2>/dev/null; then
  sleep "$(cat /scratch/held)"
  echo "late: $(head -c 3 "$data")" >>/scratch/server.log
fi
dd if="$data" of=/scratch/image bs=4096 seek=$(($2 / 4096)) conv=notrunc status=none
rm "$data"
END
  chmod +x server-write
}
write_block

# shellcheck disable=SC2016
start_server nbdkit -f -U "$SCRATCH/server.sock" --threads 16 eval thread_model='echo parallel' \
  get_size='echo 1048576' can_write='exit 0' can_flush='exit 0' flush='exit 0' can_multi_conn='exit 0' \
  pread='dd if=/scratch/image bs=512 skip=$(($4 / 512)) count=$(($3 / 512)) status=none' \
  pwrite='/scratch/server-write "$3" "$4"'
wait_for_socket "$SCRATCH/server.sock"

block_of() { head -c 4096 /dev/zero | tr '\0' "$1"; }
write() { dd of="$device" bs=4096 seek=16 oflag=direct conv=notrunc,fsync status=none; }

# newer_wins CONNECTIONS: of a held write and the one after it
newer_wins() {
  attach --connections "$1" --timeout 3 "nbd+unix:///?socket=$SCRATCH/server.sock"
  echo 9 >hold
  local start=$SECONDS
  block_of a | write || fail "the held write failed"
  echo "the held write took $((SECONDS - start)) s"
  [[ -e held ]] || fail "the server held nothing"
  rm -f held
  block_of b | write || fail "the newer write failed"
  sleep $((start + 14 - SECONDS > 0 ? start + 14 - SECONDS : 0))
  grep -q 'late: aaa' server.log || fail "the held write never came to its end"
  is "what the server has" "$(tail -c +65537 image | head -c 4096 | tr -d b | wc -c)" 0
  is "what the device says" "$(dd if="$device" bs=4096 skip=16 count=1 iflag=direct status=none | tr -d b | wc -c)" 0
  "$NBDRING" status "$device"
  detach "$device"
  : >server.log
}

for connections in 1 2 4; do
  newer_wins "$connections"
  echo "ok: $connections connections"
done
is leftovers "$(leftovers)" ''
