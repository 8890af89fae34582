#!/bin/bash
# An upgrade that fails half-way: the former engine goes on, or, where neither can open the backend any more, another
# one adopts the device when that is possible again. A new engine that is killed at any moment of the change costs
# nothing but time.
# vm-timeout: 400
# check-kernel: 6.12
# vm-allow: (nbd[0-9]+: (Receive|Send) (control|data) failed|Dead connection|Connection timed out|shutting down sockets)
source "$(dirname "$0")/device-functions.sh"
cd "$SCRATCH"

reads() { timeout 60 dd if="$device" of=/dev/null bs=64k count=16 iflag=direct status=none; }

dd if=/dev/urandom of=image bs=1M count=16 status=none
cp image image.copy
attach -c 2 --timeout 2 image

# They introduce themselves. The first one does not see the file, the second finds no room for its lanes.
cat >blind <<END
#!/bin/sh
exec unshare -m sh -c 'mount -t tmpfs none $SCRATCH; exec $NBDRING "\$@"' "\$0" "\$@"
END
printf '#!/bin/sh\nulimit -n 18\nexec %s "$@"\n' "$NBDRING" >small
chmod 755 blind small
engine=$(recorded pid)
refused 1 'its engine serves on' "$NBDRING" upgrade "$device" --program "$PWD/blind"
is "the engine" "$(recorded pid)" "$engine"
reads
refused 1 'another engine adopts the device' "$NBDRING" upgrade "$device" --program "$PWD/small"
reads

mv image image.away
refused 1 'another engine adopts the device' "$NBDRING" upgrade "$device"
sleep 1
mv image.away image
reads
echo "ok: adopted when its file was there again"

kills=5
[[ -z ${NBDRING_LONG:-} ]] || kills=30
candidate_of() { pgrep -P "$1" -x nbdring | grep -vx "$2"; }
for ((i = 0; i < kills; i++)); do
  engine=$(recorded pid) keeper=$(recorded keeper)
  "$NBDRING" upgrade "$device" >upgrade.log 2>&1 &
  upgrade=$!
  until_true 5 candidate_of "$keeper" "$engine" >candidate || true
  sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"
  sleep "0.$((RANDOM % 4))"
  kill -9 $(tail -n 1 candidate) 2>/dev/null || true
  wait "$upgrade" || true
  cat upgrade.log
  reads || fail "nothing is read any more: $(cat /run/nbdring/nbd"$number".log)"
done
cmp image.copy "$device" || fail "other bytes"
"$NBDRING" upgrade "$device"
detach "$device"
is leftovers "$(leftovers)" ''
echo "ok: upgrades that fail"
