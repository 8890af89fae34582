#!/bin/bash
# SIGTERM while four clients write: each gets an answer or an end, never a wrong one; the server ends
# with 0; every write that was answered is in the file, and every block is old or new, not a mixture.

source "$(dirname "$0")/lib.sh"
requires_libnbd

session() {
  "$python" - "$uri" "$serve_pid" "$image" <<'END'
import multiprocessing, os, signal, sys, time
import nbd

part, block = 8 << 20, 64 << 10

def pattern(number, turn, index):
    return (b"%4d%8d%6d;" % (number, turn, index) * (block // 19 + 1))[:block]

# Returns per block: the last write that was answered, and the one that was not.
def client(number):
    h = nbd.NBD()
    h.connect_uri(sys.argv[1])
    answered, pending, turn = {}, {}, 0
    try:
        while True:
            turn += 1
            cookies = {}
            for index in range(part // block):
                pending[index] = turn
                data = nbd.Buffer.from_bytearray(bytearray(pattern(number, turn, index)))
                cookies[h.aio_pwrite(data, number * part + index * block)] = index
            while cookies:
                h.poll(-1)
                for cookie in list(cookies):
                    if h.aio_command_completed(cookie):
                        answered[cookies.pop(cookie)] = turn
            if turn == 1:
                barrier.wait()
    except nbd.Error:
        return number, answered, pending

barrier = multiprocessing.Barrier(5)
with multiprocessing.Pool(4) as pool:
    results = pool.map_async(client, range(4), chunksize=1)
    barrier.wait()
    time.sleep(0.1)
    os.kill(int(sys.argv[2]), signal.SIGTERM)
    results = results.get(20)

with open(sys.argv[3], "rb") as image:
    for number, answered, pending in results:
        assert len(answered) == part // block
        for index, turn in answered.items():
            image.seek(number * part + index * block)
            data = image.read(block)
            allowed = [pattern(number, t, index) for t in range(turn, pending[index] + 1)]
            assert data in allowed, f"client {number}, block {index}: lost or torn after turn {turn}"
END
}

for backend in writeback none; do
  start_backend "$backend" 32M
  session
  status=0
  wait_until 20 has_ended "$serve_pid" || fail "the server did not end"
  wait "$serve_pid" || status=$?
  serve_pid=''
  expect_equal "status, cache=$backend" "$status" 0
  [[ ! -e $socket ]] || fail "the socket is still there"
done

# The same with nobody in the middle of anything: at once.
start_serve memory:1M
"$python" -c 'import nbd,sys,time; h = nbd.NBD(); h.connect_uri(sys.argv[1]); time.sleep(30)' "$uri" &
at_exit+=("end_process $!")
sleep 0.5
begin=$SECONDS
stop_serve
((SECONDS - begin < 5)) || fail "an idle client delayed the end by $((SECONDS - begin)) s"
pass "SIGTERM: nothing answered is lost"
