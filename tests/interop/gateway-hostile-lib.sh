# For the scripts about what peers of the gateway do wrong. Sourced as gateway-lib.sh is.

source "$(dirname "${BASH_SOURCE[0]}")/gateway-lib.sh"

# run_hostile GROUP ARGS…: the cases of hostile/GROUP.py, against `nbdring gateway ARGS…`.
run_hostile() {
  local group=$1 number
  shift
  {
    printf '[gateway]\nstate-dir = "%s"\n' "$work/state.d"
    printf '[gateway.configurations.good]\nsocket = "%s"\n' "$work/good.sock"
    for number in {0..7}; do
      printf '[gateway.configurations.h%d]\nsocket = "%s"\ngrace = 1\ntimeout = 1\nsize-max = 67108864\n' \
        "$number" "$work/h$number.sock"
    done
  } >"$work/gateway.toml"
  start_gateway --config "$work/gateway.toml" "$@"
  "$python" "$here/hostile/gateway_run.py" "$work/good.sock" "$gateway_pid" "$gateway_log" "$group" "$port" "$work" \
    ${NBDRING_CASE:+"$NBDRING_CASE"} >"$work/cases" 2>&1 || fail "$(cat "$work/cases")"
  stop_gateway
  ! grep -v '^  ok ' "$work/cases" || pass "$(grep -c '^  ok ' "$work/cases") misbehaviours"
}
