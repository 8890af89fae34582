#!/bin/bash
# nbdring bench, whole: memory, a file, a server behind a Unix socket; sweeps, comparing, verifying;
# what JSON, CSV and the pictures say; Ctrl-C; what it refuses.

source "$(dirname "$0")/lib.sh"
requires nbdkit

out=$work/out
err=$work/err

# bench ARGS…: short, and its standard error is silent where it is no terminal.
bench() {
  timeout 60 "$NBDRING" bench "$@" >"$out" 2>"$err" </dev/null || fail "bench $*: status $?: $(cat "$out" "$err")"
}

expect_line() { grep -qE -- "$1" "$out" || fail "no line '$1' in: $(cat "$out")"; }
expect_narrow() { ! grep -E '.{81}' "$out" || fail "wider than 80 columns"; }

# json EXPRESSION: true of what was printed (d), and of its results (r)
json() {
  "$python" -c 'import json, sys
d = json.load(open(sys.argv[1])); r = d["results"]
assert eval(sys.argv[2]), json.dumps([{k: x[k] for k in x if k != "latency_curve"} for x in r])' "$out" "$1"
}

# ---- a table for people

bench memory:64M -b 4k -d 1,8 -t 0.3
expect_line '^memory:64M$'
expect_line '^random reads, 4 KiB blocks, 1 connection$'
expect_line '^DEPTH  THROUGHPUT +IOPS +P50 +P99 +P99.9 +CLIENT$'
expect_line '^ +1 +[0-9.]+ [KMG]iB/s +[0-9]+ +[0-9.]+ [mnu]s '
expect_line '^ +8 '
expect_narrow
[[ ! -s $err ]] || fail "it said: $(cat "$err")"
pass "a sweep of the depth on memory"

truncate -s 16M "$work/image"
bench "file:$work/image" -p sequential,zipf:0.9 -b 4k,64k -d 1,4 -c 1,2 -t 0.2
expect_narrow
(($(grep -cE ' [KMG]iB/s ' "$out") == 16)) || fail "not 16 rows: $(cat "$out")"
pass "every combination of four sweeps on a file, in 80 columns"

# ---- for programs

# start_nbdkit SOCKET ARGS…: in the foreground, as the socket tells who began to listen.
start_nbdkit() {
  nbdkit --foreground --unix "$1" --pidfile "$1.pid" "${@:2}" >"$1.log" 2>&1 &
  at_exit+=("end_process $!")
  wait_until 20 test -s "$1.pid" || fail "nbdkit does not listen: $(cat "$1.log")"
}

start_nbdkit "$work/nbdkit.sock" memory 64M
uri="nbd+unix:///?socket=$work/nbdkit.sock"

bench "$uri" -b 4k -d 1,8 -t 1 --json
json 'd["seconds"] >= 2 and d["machine"]["processors"] >= 1 and d["command_line"][1] == "bench"'
json '[x["depth"] for x in r] == [1, 8] and all(x["target"] for x in r)'
json 'all(x["requests"] > 0 and x["errors"] == 0 and x["bytes"] == x["requests"] * 4096 for x in r)'
json 'all(abs(x["bytes_per_second"] * x["seconds"] - x["bytes"]) < 4096 for x in r)'
json 'all(0 < x["p50_ns"] <= x["p90_ns"] <= x["p99_ns"] <= x["p999_ns"] <= x["max_ns"] for x in r)'
# Little's law: what is in flight is the rate times the mean latency, less than it only by our own time.
json 'all(0.4 < x["requests_per_second"] * x["mean_ns"] / 1e9 / x["depth"] < 1.1 for x in r)'
json 'all(x["client_cpu_ns_per_request"] > 0 and x["engine_cpu_ns_per_request"] > 0 for x in r)'
pass "JSON of a server behind a Unix socket, with the server's CPU"

bench memory:1M --csv -b 4k -d 1,2 -t 0.3 --rounds 2
"$python" - "$out" <<'END'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
assert [(row["round"], row["depth"]) for row in rows] == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")], rows
assert all(float(row["bytes_per_second"]) > 0 and int(row["p99_ns"]) > 0 for row in rows), rows
assert all(row["engine_cpu_ns_per_request"] == "" and row["was_interrupted"] == "false" for row in rows), rows
END
pass "CSV with a line for each result"

# ---- comparing

bench --compare memory:64M "$uri" memory:64M -b 4k -d 1 -t 0.4 --rounds 3
expect_line '^A  memory:64M$'
expect_line '^C  memory:64M$'
expect_line '^ratios to A, and below them their smallest and largest of 3 rounds$'
expect_line '^B +0\.[0-9][0-9] '
expect_line '^ +[0-9.]+-[0-9.]+ +[0-9.]+-[0-9.]+ '
expect_narrow
pass "three targets in turn"

# ---- writing

before=$(sha "$work/image")
expect_refused 2 "--write, which overwrites the 16.0 MiB of" "$NBDRING" bench "file:$work/image" --reads 70 -t 0.1
expect_equal "an image that was not to be written" "$(sha "$work/image")" "$before"
expect_refused 1 "is read-only" "$NBDRING" bench "file:$work/image?readonly" --write -t 0.1
expect_equal "a read-only image" "$(sha "$work/image")" "$before"

bench "file:$work/image" --write --verify --reads 30 -b 4k,64k -d 4 -t 0.3
expect_line '^[0-9.]+ .?i?B read back, all as written$'
[[ $(sha "$work/image") != "$before" ]] || fail "nothing was written"
pass "writes only when told to, and reads back what it wrote"

start_nbdkit "$work/bad.sock" --filter=error memory 16M error-pread=EIO error-pread-rate=10%
status=0
uri="nbd+unix:///?socket=$work/bad.sock"
timeout 60 "$NBDRING" bench "$uri" -b 4k -d 4 -t 0.3 >"$out" 2>"$err" </dev/null || status=$?
expect_equal "status where requests failed" "$status" 1
expect_line ' requests failed$'
pass "requests that fail are counted and fail the command"

# ---- pictures

if [[ -n $(type -P gnuplot) ]]; then
  for picture in svg png; do
    bench memory:64M -b 4k -d 1,2,4 -t 0.2 --plot "$work/plot.$picture"
    expect_line '^ +4 '
  done
  "$python" - "$work/plot.svg" <<'END'
import sys, xml.etree.ElementTree as tree
words = "".join(tree.parse(sys.argv[1]).getroot().itertext())
for wanted in ("memory:64M", "Throughput", "Latency", "99th percentile", "Distribution of the latencies", "depth 4"):
    assert wanted in words, wanted
END
  [[ $(head -c 8 "$work/plot.png" | od -An -tx1 | tr -d ' ') == 89504e470d0a1a0a ]] || fail "no PNG"
  expect_refused 2 "neither .svg nor .png" "$NBDRING" bench memory:1M --plot "$work/plot.pdf"
  expect_refused 1 "No such file or directory" "$NBDRING" bench memory:1M --plot "$work/nowhere/plot.svg"
  pass "pictures, as SVG and PNG"
else
  echo "gnuplot is not installed: no pictures"
fi

# Without gnuplot: something that is no program in its place, for this one command.
if [[ -n $(type -P gnuplot) && $UID == 0 ]] && unshare --mount true 2>/dev/null; then
  expect_refused 1 "install gnuplot-nox, or use --csv" unshare --mount bash -c \
    'mount --bind /dev/null "$(realpath "$(type -P gnuplot)")" && exec "$@"' bash \
    "$NBDRING" bench memory:1M -t 0.1 --plot "$work/other.svg"
  [[ ! -e $work/other.svg ]] || fail "a picture without gnuplot"
  pass "no gnuplot: says what to install"
fi

# ---- Ctrl-C

(
  trap - INT # a shell's background processes ignore it
  exec "$NBDRING" bench memory:64M -b 4k -d 1,2,4,8 -t 1 >"$out" 2>"$err" </dev/null
) &
bench_pid=$!
sleep 1.7 # in the middle of the second
kill -INT "$bench_pid"
wait_until 5 has_ended "$bench_pid" || fail "it did not end within 5 s of SIGINT"
status=0
wait "$bench_pid" || status=$?
expect_equal "status of an interrupted bench" "$status" 130
expect_line '^ +1 +[0-9.]+ [KMG]iB/s '
expect_line 'interrupted after [0-9.]+ s$'
! grep -qE '^ +8 ' "$out" || fail "it went on: $(cat "$out")"
pass "Ctrl-C prints what was measured so far"

# On a terminal: the line while it measures, gone when the table comes.
if [[ -n $(type -P script) ]]; then
  script -qefc "stty cols 80; exec '$NBDRING' bench memory:64M -b 4k -d 1,2 -t 1" "$work/typed" >/dev/null </dev/null
  typed() { grep -qE "$1" "$work/typed" || fail "not typed: '$1' in $(cat -v "$work/typed")"; }
  typed $'\r\x1b\\[K2 of 2  4 KiB, depth 2, .* IOPS  [01] s left'
  typed $'\r\x1b\\[Kmemory:64M' # the line is gone
  pass "a line of progress on a terminal"
fi
